"""Rules about captions."""

from lora_widgets.config.captions import ENCODER_DROPOUTS, MAX_TOKENS, TOKENS_PER_WINDOW, tags_move
from lora_widgets.config.rules.rule import Advice, Severity, Situation, change, rule


@rule(Severity.WARNING, "shuffle_caption", "train_data_dir")
def shuffled_sentences(now: Situation) -> Advice | None:
    """Sentences are not lists of tags."""
    dataset = now.facts.dataset
    if not now.config.shuffle_caption or dataset is None or 2 * dataset.sentences <= dataset.images:
        return None
    return Advice(
        f"{dataset.sentences} of {dataset.images} captions are sentences rather than tags, and "
        "`shuffle_caption` tears them apart.",
        "Turn it off for sentences.",
        change(shuffle_caption=False),
    )


@rule(Severity.WARNING, "shuffle_caption", "model_type")
def shuffled_for_a_reader_of_sentences(now: Situation) -> Advice | None:
    """T5 reads sentences."""
    if not now.config.shuffle_caption or not now.is_flow:
        return None
    return Advice(
        f"`shuffle_caption` is on, but {now.config.model_type} was trained with sentences.",
        "Turn it off, and describe the pictures in sentences.",
        change(shuffle_caption=False),
    )


@rule(Severity.NOTE, "keep_tokens_separator", "shuffle_caption", "caption_tag_dropout_rate")
def separator_of_nothing(now: Situation) -> Advice | None:
    """The separator is removed, and otherwise does nothing."""
    if not now.config.keep_tokens_separator or tags_move(now.config):
        return None
    return Advice(
        "`keep_tokens_separator` is only removed from the captions: tags are neither shuffled nor dropped."
    )


@rule(Severity.NOTE, "keep_tokens", "keep_tokens_separator")
def two_protections(now: Situation) -> Advice | None:
    """Where the separator occurs, it decides."""
    if not (now.config.keep_tokens > 0 and now.config.keep_tokens_separator):
        return None
    return Advice("In captions that hold `keep_tokens_separator`, `keep_tokens` is not used.")


@rule(Severity.ERROR, "secondary_separator", "caption_separator")
def equal_separators(now: Situation) -> Advice | None:
    """Two levels of tags need two signs."""
    if now.config.secondary_separator != now.config.caption_separator:
        return None
    return Advice(
        f"`secondary_separator` is {now.config.secondary_separator!r}, the same as `caption_separator`, "
        "so it "
        "cannot join tags.",
        'Use another sign, such as ";", or leave it empty.',
        change(secondary_separator=""),
    )


@rule(Severity.ERROR, "keep_tokens_separator", "caption_separator")
def keep_separator_is_the_separator(now: Situation) -> Advice | None:
    """A sign between all tags cannot mark one place."""
    if now.config.keep_tokens_separator != now.config.caption_separator:
        return None
    return Advice(
        f"`keep_tokens_separator` is {now.config.keep_tokens_separator!r}, the same as "
        "`caption_separator`, so it "
        "cannot mark where the fixed part ends.",
        'Use another text, such as "|||", or leave it empty.',
        change(keep_tokens_separator=""),
    )


@rule(Severity.WARNING, "caption_dropout_rate", "caption_dropout_every_n_epochs")
def captions_mostly_empty(now: Situation) -> Advice | None:
    """A model trained mostly without words does not follow them."""
    rate, every = now.config.caption_dropout_rate, now.config.caption_dropout_every_n_epochs
    if rate < 0.5 and every != 1:
        return None
    cause = f"`caption_dropout_rate` is {rate:g}" if rate >= 0.5 else "`caption_dropout_every_n_epochs` is 1"
    return Advice(
        f"{cause}: most or all showings have an empty caption, so the words are not learned.",
        "Rates of 0 to 0.1 are usual.",
        change(caption_dropout_rate=0.05, caption_dropout_every_n_epochs=0),
    )


@rule(Severity.WARNING, *ENCODER_DROPOUTS, "model_type")
def no_encoder_is_read(now: Situation) -> Advice | None:
    """A model that reads zeros only does not learn words."""
    rates = [getattr(now.config, name) for name in ENCODER_DROPOUTS]
    if now.config.model_type != "SD3" or min(rates) < 0.5:
        return None
    return Advice(
        f"`clip_l_dropout_rate`, `clip_g_dropout_rate` and `t5_dropout_rate` are {min(rates):g} or more: "
        "most or all of what the text encoders say is left out, so the words are hardly learned.",
        "Rates of 0 to 0.1 are usual.",
        change(**dict.fromkeys(ENCODER_DROPOUTS, 0.1)),
    )


@rule(
    Severity.WARNING,
    *("clip_l_dropout_rate", "clip_g_dropout_rate"),
    *("text_encoder_lr", "text_encoder_1_lr", "text_encoder_2_lr"),
)
def encoder_learns_unread(now: Situation) -> Advice | None:
    """What is always left out gives no gradient."""
    if now.config.model_type != "SD3":
        return None
    encoders = {"clip_l_dropout_rate": "text_encoder_1", "clip_g_dropout_rate": "text_encoder_2"}
    for name, encoder in encoders.items():
        if getattr(now.config, name) == 1 and encoder in now.config.trained_components:
            return Advice(
                f"`{name}` is 1, so {encoder} is never read and cannot learn, though it has a learning rate.",
                f"Set `{encoder}_lr` to 0, or lower `{name}`.",
                change(**{f"{encoder}_lr": 0.0}),
            )
    return None


@rule(Severity.WARNING, "caption_tag_dropout_rate")
def all_tags_dropped(now: Situation) -> Advice | None:
    """Dropping nearly all tags leaves no words to learn."""
    if now.config.caption_tag_dropout_rate < 0.9:
        return None
    return Advice(
        f"`caption_tag_dropout_rate` is {now.config.caption_tag_dropout_rate:g}: nearly all tags are left "
        "out.",
        "0 to 0.2 is usual.",
        change(caption_tag_dropout_rate=0.1),
    )


@rule(Severity.ERROR, "weighted_captions", "model_type")
def weights_of_flow_model(now: Situation) -> Advice | None:
    """Flux and SD3 were not made to be led by scaled states."""
    config = now.config
    if not config.weighted_captions or not now.is_flow:
        return None
    return Advice(
        f"`weighted_captions` is on, but {config.model_type} knows no weights of words: they are for SD1.5 "
        "and SDXL.",
        "Turn `weighted_captions` off.",
        change(weighted_captions=False),
    )


@rule(Severity.NOTE, "weighted_captions", "shuffle_caption", "caption_tag_dropout_rate")
def weights_and_moving_tags(now: Situation) -> Advice | None:
    """Tags move one by one, and brackets with them."""
    if not (now.config.weighted_captions and tags_move(now.config)) or now.is_flow:
        return None
    return Advice(
        "`weighted_captions` is on, but tags move or drop: brackets around several tags come apart.",
        "Give each tag brackets of its own, as in (red:1.2), (cat:1.2).",
    )


@rule(Severity.WARNING, "max_token_length")
def captions_cut(now: Situation) -> Advice | None:
    """What is cut off is never learned."""
    limit = now.config.max_token_length
    known = now.facts.dataset.long_captions if now.facts.dataset and not now.is_flow else ()
    cut = [caption for caption in known if caption.tokens > limit]
    if not cut:
        return None
    longest = cut[0]
    captions = "1 caption is" if len(cut) == 1 else f"{len(cut)} captions are"
    rest = longest.beyond[limit // TOKENS_PER_WINDOW - 1]
    message = (
        f"`max_token_length` is {limit}, but {captions} longer, and what is beyond is not learned. "
        f"The longest, of {longest.picture}, has {longest.tokens} tokens and is cut before {rest!r}."
    )
    needed = -(-longest.tokens // TOKENS_PER_WINDOW) * TOKENS_PER_WINDOW
    if needed <= MAX_TOKENS:
        return Advice(message, f"Set it to {needed}.", change(max_token_length=needed))
    more = "" if limit == MAX_TOKENS else f"Set it to {MAX_TOKENS}, which is the most, and "
    shorten = f"{more}shorten captions of more than {MAX_TOKENS} tokens: the most important words first."
    return Advice(message, shorten[:1].upper() + shorten[1:])


@rule(Severity.NOTE, "caption_dropout_every_n_epochs", "max_train_epochs")
def dropout_never_comes(now: Situation) -> Advice | None:
    """The epoch with empty captions lies after the end."""
    every = now.config.caption_dropout_every_n_epochs
    epochs = now.steps.epochs if now.steps else now.config.max_train_epochs
    by_steps_only = now.steps is None and now.config.max_train_steps > 0
    if by_steps_only or every <= epochs:
        return None
    return Advice(
        f"`caption_dropout_every_n_epochs` is {every}, but there are only {epochs} epochs: it has no effect."
    )


@rule(Severity.NOTE, "clip_skip", "model_type")
def layer_for_anime(now: Situation) -> Advice | None:
    """The last layer but one suits models that were trained with it."""
    if now.config.model_type != "SD1.5" or now.config.clip_layers_skipped != 2:
        return None
    return Advice(
        "`clip_skip` is 2, which suits anime models; most other SD1.5 models were trained with 1.",
        "Set it to 1 if the model's page does not ask for 2.",
        change(clip_skip=1),
    )
