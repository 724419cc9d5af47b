"""Rules about what is encoded once and kept."""

from lora_widgets.config.rules.rule import Advice, Severity, Situation, change, rule


@rule(Severity.ERROR, "cache_text_encoder_outputs", "shuffle_caption")
def text_cache_and_shuffling(now: Situation) -> Advice | None:
    """Captions are encoded once, so their order cannot change."""
    if not (now.config.cache_text_encoder_outputs and now.config.shuffle_caption):
        return None
    return Advice(
        "Cannot use Caption Shuffling with Text Encoder Caching",
        "The caption is encoded only once: turn one of the two off.",
        change(shuffle_caption=False),
    )


@rule(Severity.ERROR, "cache_text_encoder_outputs", "text_encoder_lr")
def text_cache_and_training(now: Situation) -> Advice | None:
    """A text encoder that learns gives other outputs at each step."""
    if not (now.config.cache_text_encoder_outputs and now.config.trains_text_encoder):
        return None
    return Advice(
        "Cannot cache Text Encoder while training it (set Text LR to 0)",
        "Set `text_encoder_lr` to 0, or turn `cache_text_encoder_outputs` off.",
        change(text_encoder_lr=0.0),
    )


@rule(Severity.ERROR, "random_crop", "cache_latents")
def random_crop_and_latent_cache(now: Situation) -> Advice | None:
    """A picture that is encoded once is cut once."""
    if not (now.config.random_crop and now.config.latents_are_cached):
        return None
    return Advice(
        "Cannot use Random Crop with Latent Caching",
        "The picture is cut and encoded only once: turn one of the two off.",
        change(random_crop=False),
    )


@rule(Severity.ERROR, "cache_text_encoder_outputs", "caption_tag_dropout_rate")
def text_cache_and_tag_dropout(now: Situation) -> Advice | None:
    """Dropping tags gives a new caption at each showing."""
    if not (now.config.cache_text_encoder_outputs and now.config.caption_tag_dropout_rate > 0):
        return None
    return Advice(
        f"`caption_tag_dropout_rate` is {now.config.caption_tag_dropout_rate:g}, but "
        "`cache_text_encoder_outputs` is on: the caption is encoded only once, so no tag can be dropped.",
        "Set `caption_tag_dropout_rate` to 0, or turn `cache_text_encoder_outputs` off.",
        change(caption_tag_dropout_rate=0.0),
    )


@rule(Severity.ERROR, "cache_text_encoder_outputs", "enable_wildcard")
def text_cache_and_wildcards(now: Situation) -> Advice | None:
    """Wildcards give a new caption at each showing."""
    if not (now.config.cache_text_encoder_outputs and now.config.enable_wildcard):
        return None
    return Advice(
        "`enable_wildcard` and `cache_text_encoder_outputs` are both on: the caption is encoded only "
        "once, so "
        "no wildcard can be drawn anew.",
        "Turn one of the two off.",
        change(enable_wildcard=False),
    )


@rule(Severity.NOTE, "cache_latents", "flip_aug")
def latent_cache_and_flips(now: Situation) -> Advice | None:
    """Each picture is then encoded twice."""
    if not (now.config.latents_are_cached and now.config.flip_aug):
        return None
    return Advice("With `flip_aug` every picture is cached twice, as it is and mirrored.")


@rule(Severity.NOTE, "vae_batch_size", "cache_latents")
def vae_batch_without_cache(now: Situation) -> Advice | None:
    """Without caching, a training batch bounds what is encoded at once."""
    config = now.config
    if config.latents_are_cached or config.vae_batch_size <= max(1, config.train_batch_size):
        return None
    return Advice(
        f"`vae_batch_size` is {config.vae_batch_size}, but without `cache_latents` at most the "
        f"{config.train_batch_size} pictures of a batch are encoded at once.",
        "Turn `cache_latents` on to use it.",
        None if config.random_crop else change(cache_latents=True),
    )
