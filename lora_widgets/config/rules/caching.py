"""Rules about what is encoded once and kept."""

from lora_widgets.catalog.families import FAMILIES
from lora_widgets.config.captions import TOKENS_PER_WINDOW, captions_vary
from lora_widgets.config.rates import without_text_encoders
from lora_widgets.config.rules.rule import Advice, Fix, Severity, Situation, change, rule
from lora_widgets.config.training_config import TrainingConfig

USUAL_VARIANTS = 10
USUAL_CROPS = 5
PIXELS_PER_LATENT = 8 * 8
BYTES_PER_NUMBER = 4
MUCH_OF_THE_MEMORY = 0.5


@rule(Severity.ERROR, "cache_text_encoder_outputs", "shuffle_caption", "text_cache_variants")
def text_cache_and_shuffling(now: Situation) -> Advice | None:
    """Captions that are encoded once have one order."""
    if not (_has_one_caption(now) and now.config.shuffle_caption):
        return None
    return Advice(
        "Cannot use Caption Shuffling with Text Encoder Caching",
        "Each caption is encoded only once. Turn `shuffle_caption` or `cache_text_encoder_outputs` off, or "
        "raise `text_cache_variants` to encode several orders.",
        change(shuffle_caption=False),
        _instead_of_one_caption(now.config),
    )


@rule(Severity.ERROR, "cache_text_encoder_outputs", "text_encoder_lr")
def text_cache_and_training(now: Situation) -> Advice | None:
    """A text encoder that learns gives other outputs at each step."""
    config = now.config
    if not (config.text_is_cached and config.trains_text_encoder) or config.captions_are_kept:
        return None
    return Advice(
        "Cannot cache Text Encoder while training it (set Text LR to 0)",
        "Set `text_encoder_lr` to 0, or turn `cache_text_encoder_outputs` off.",
        change(**without_text_encoders(now.config)),
        (_no_text_cache(now.config),),
    )


@rule(Severity.NOTE, "cache_text_encoder_outputs", "text_encoder_lr")
def text_cache_of_t5(now: Situation) -> Advice | None:
    """T5 never learns, so its part of the captions can be cached while CLIP trains."""
    if not (now.config.captions_are_kept and now.config.trains_text_encoder):
        return None
    return Advice(
        "CLIP trains, so of the captions only what T5 makes of them is cached. T5 leaves the memory."
    )


@rule(Severity.ERROR, "random_crop", "cache_latents", "latent_cache_crops")
def random_crop_and_latent_cache(now: Situation) -> Advice | None:
    """A picture that is encoded once is cut once."""
    config = now.config
    if not (config.random_crop and config.latents_are_cached and config.latent_cache_crops == 1):
        return None
    return Advice(
        "Cannot use Random Crop with Latent Caching",
        "The picture is cut and encoded only once. Turn `random_crop` or `cache_latents` off, or raise "
        "`latent_cache_crops` to encode several crops.",
        change(random_crop=False),
        (
            change(latent_cache_crops=USUAL_CROPS),
            _turn_off(config, "cache_latents", "cache_latents_to_disk"),
        ),
    )


@rule(Severity.ERROR, "cache_text_encoder_outputs", "caption_tag_dropout_rate", "text_cache_variants")
def text_cache_and_tag_dropout(now: Situation) -> Advice | None:
    """Dropping tags gives a new caption at each showing."""
    if not (_has_one_caption(now) and now.config.caption_tag_dropout_rate > 0):
        return None
    return Advice(
        f"`caption_tag_dropout_rate` is {now.config.caption_tag_dropout_rate:g}, but the text encoder is "
        "cached: each caption is encoded only once, so no tag can be dropped.",
        "Set `caption_tag_dropout_rate` to 0, turn `cache_text_encoder_outputs` off, or raise "
        "`text_cache_variants` to encode several choices of tags.",
        change(caption_tag_dropout_rate=0.0),
        _instead_of_one_caption(now.config),
    )


@rule(Severity.ERROR, "cache_text_encoder_outputs", "enable_wildcard", "text_cache_variants")
def text_cache_and_wildcards(now: Situation) -> Advice | None:
    """Wildcards give a new caption at each showing."""
    if not (_has_one_caption(now) and now.config.enable_wildcard):
        return None
    return Advice(
        "`enable_wildcard` is on, but the text encoder is cached: each caption is encoded only once, so no "
        "wildcard can be drawn anew.",
        "Turn one of the two off, or raise `text_cache_variants` to encode several choices.",
        change(enable_wildcard=False),
        _instead_of_one_caption(now.config),
    )


@rule(Severity.NOTE, "cache_latents_to_disk", "cache_latents")
def disk_turns_latent_caching_on(now: Situation) -> Advice | None:
    """What is kept on disk is cached."""
    if not now.config.cache_latents_to_disk or now.config.cache_latents:
        return None
    return Advice(
        "`cache_latents_to_disk` turns latent caching on, though `cache_latents` is off.",
        "",
        change(cache_latents=True),
    )


@rule(Severity.NOTE, "cache_text_encoder_outputs_to_disk", "cache_text_encoder_outputs")
def disk_turns_text_caching_on(now: Situation) -> Advice | None:
    """What is kept on disk is cached."""
    if not now.config.cache_text_encoder_outputs_to_disk or now.config.cache_text_encoder_outputs:
        return None
    return Advice(
        "`cache_text_encoder_outputs_to_disk` turns text caching on, though `cache_text_encoder_outputs` is "
        "off.",
        "",
        change(cache_text_encoder_outputs=True),
    )


@rule(Severity.WARNING, "cache_latents", "cache_latents_to_disk")
def latents_fill_the_memory(now: Situation) -> Advice | None:
    """Latents of many pictures need much memory."""
    config, dataset, free = now.config, now.facts.dataset, now.facts.free_memory_bytes
    if not config.latents_are_cached or config.cache_latents_to_disk or dataset is None or free is None:
        return None
    needed = dataset.images * _latents_per_picture(config) * _latent_bytes(config)
    if needed <= MUCH_OF_THE_MEMORY * free:
        return None
    return Advice(
        f"Caching the latents of {dataset.images} pictures takes about {_gigabytes(needed)} of memory, and "
        f"{_gigabytes(free)} are free.",
        "Turn `cache_latents_to_disk` on: then they are read from the disk when needed.",
        change(cache_latents_to_disk=True),
    )


@rule(Severity.WARNING, "cache_text_encoder_outputs", "cache_text_encoder_outputs_to_disk")
def captions_fill_the_memory(now: Situation) -> Advice | None:
    """Encoded captions, too, need memory."""
    config, dataset, free = now.config, now.facts.dataset, now.facts.free_memory_bytes
    to_disk = config.cache_text_encoder_outputs_to_disk
    if not config.text_is_cached or to_disk or dataset is None or free is None:
        return None
    variants = config.text_cache_variants if captions_vary(config) else 1
    needed = dataset.images * variants * _caption_bytes(config)
    if needed <= MUCH_OF_THE_MEMORY * free:
        return None
    return Advice(
        f"Caching the captions of {dataset.images} pictures takes up to {_gigabytes(needed)} of memory, and "
        f"{_gigabytes(free)} are free.",
        "Turn `cache_text_encoder_outputs_to_disk` on: then they are read from the disk when needed.",
        change(cache_text_encoder_outputs_to_disk=True),
    )


@rule(Severity.NOTE, "latent_cache_crops", "random_crop", "cache_latents")
def crops_of_nothing(now: Situation) -> Advice | None:
    """Only random crops of cached latents are counted."""
    config = now.config
    cut_at_random = config.random_crop or config.dataset_config  # a folder of the file may be
    if config.latent_cache_crops == 1 or (cut_at_random and config.latents_are_cached):
        return None
    reason = "latents are not cached" if config.random_crop else "pictures are not cut at random"
    return Advice(f"`latent_cache_crops` is {config.latent_cache_crops}, but {reason}: it has no effect.")


@rule(Severity.NOTE, "text_cache_variants", "cache_text_encoder_outputs", "shuffle_caption")
def variants_of_nothing(now: Situation) -> Advice | None:
    """Only cached captions that vary have variants."""
    config = now.config
    vary = captions_vary(config) or config.dataset_config  # those of a folder of the file may
    if config.text_cache_variants == 1 or (config.text_is_cached and vary):
        return None
    reason = "captions do not vary" if config.text_is_cached else "the text encoder is not cached"
    return Advice(f"`text_cache_variants` is {config.text_cache_variants}, but {reason}: it has no effect.")


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
        None if config.random_crop and config.latent_cache_crops == 1 else change(cache_latents=True),
    )


def _has_one_caption(now: Situation) -> bool:
    return now.config.text_is_cached and now.config.text_cache_variants == 1


def _instead_of_one_caption(config: TrainingConfig) -> tuple[Fix, ...]:
    return change(text_cache_variants=USUAL_VARIANTS), _no_text_cache(config)


def _no_text_cache(config: TrainingConfig) -> Fix:
    return _turn_off(config, "cache_text_encoder_outputs", "cache_text_encoder_outputs_to_disk")


def _turn_off(config: TrainingConfig, *names: str) -> Fix:
    return change(**{name: False for name in names if getattr(config, name)})


def _latents_per_picture(config: TrainingConfig) -> int:
    crops = config.latent_cache_crops if config.random_crop else 1
    return crops * (2 if config.flip_aug else 1)


def _latent_bytes(config: TrainingConfig) -> int:
    width, height = config.resolution_size
    channels = FAMILIES[config.model_type].latent_channels
    return channels * (width * height // PIXELS_PER_LATENT) * BYTES_PER_NUMBER


def _caption_bytes(config: TrainingConfig) -> int:
    windows = config.max_token_length // TOKENS_PER_WINDOW
    return FAMILIES[config.model_type].numbers_per_caption * windows * BYTES_PER_NUMBER


def _gigabytes(count: float) -> str:
    return f"{count / 1e9:.1f} GB"
