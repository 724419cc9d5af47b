"""Rules about buckets and how they fill batches."""

from lora_widgets.catalog.families import FAMILIES
from lora_widgets.config.rules.rule import Advice, Severity, Situation, change, rule
from lora_widgets.config.setup import DEMO
from lora_widgets.config.steps import batch_sizes_of


@rule(Severity.ERROR, "min_bucket_reso", "resolution")
def smallest_side_too_large(now: Situation) -> Advice | None:
    """Buckets must be able to be as small as the resolution."""
    config = now.config
    side = min(config.resolution_size)
    if not _limits_act(now) or config.min_bucket_reso <= side:
        return None
    return Advice(
        f"`min_bucket_reso` is {config.min_bucket_reso}, but `resolution` is {config.resolution}: buckets "
        "could "
        "not be as small as the pictures.",
        f"Set `min_bucket_reso` to at most {side}.",
        change(min_bucket_reso=max(64, min(256, side // 2))),
    )


@rule(Severity.ERROR, "max_bucket_reso", "resolution")
def largest_side_too_small(now: Situation) -> Advice | None:
    """Buckets must be able to be as large as the resolution."""
    config = now.config
    side = max(config.resolution_size)
    if not _limits_act(now) or config.max_bucket_reso >= side:
        return None
    return Advice(
        f"`max_bucket_reso` is {config.max_bucket_reso}, but `resolution` is {config.resolution}: buckets "
        "could "
        "not be as large as the pictures.",
        f"Set `max_bucket_reso` to at least {side}.",
        change(max_bucket_reso=2 * side),
    )


@rule(Severity.ERROR, "min_bucket_reso", "max_bucket_reso")
def bucket_limits_crossed(now: Situation) -> Advice | None:
    """The smallest side must be below the largest."""
    config = now.config
    if not _limits_act(now) or config.min_bucket_reso <= config.max_bucket_reso:
        return None
    return Advice(
        f"`min_bucket_reso` ({config.min_bucket_reso}) is above `max_bucket_reso` "
        f"({config.max_bucket_reso}).",
        "Exchange them.",
        change(min_bucket_reso=config.max_bucket_reso, max_bucket_reso=config.min_bucket_reso),
    )


@rule(Severity.ERROR, "sdxl_bucket_optimization", "model_type")
def fine_buckets_of_another_family(now: Situation) -> Advice | None:
    """32 px are a multiple that only SDXL and SD3 can take."""
    config, multiple = now.config, FAMILIES[now.config.model_type].bucket_multiple
    if not (config.enable_bucket and config.sdxl_bucket_optimization) or config.bucket_step % multiple == 0:
        return None
    return Advice(
        f"`sdxl_bucket_optimization` makes buckets in steps of {config.bucket_step} px, but "
        f"{config.model_type} needs multiples of {multiple}.",
        "Turn it off: it is for SDXL and SD3.",
        change(sdxl_bucket_optimization=False),
    )


@rule(Severity.NOTE, "bucket_reso_steps", "sdxl_bucket_optimization")
def step_unused(now: Situation) -> Advice | None:
    """The optimization is a step of its own."""
    config = now.config
    is_changed = config.bucket_reso_steps not in (64, config.bucket_step)
    if not (config.enable_bucket and config.sdxl_bucket_optimization and is_changed):
        return None
    return Advice(
        f"`bucket_reso_steps` ({config.bucket_reso_steps}) is not used: `sdxl_bucket_optimization` makes "
        f"buckets in steps of {config.bucket_step} px."
    )


@rule(Severity.ERROR, "bucket_reso_steps", "model_type")
def step_of_the_family(now: Situation) -> Advice | None:
    """The model halves the picture several times, so sides must be divisible."""
    config, multiple = now.config, FAMILIES[now.config.model_type].bucket_multiple
    is_free = config.pretrained_model_name_or_path == DEMO or config.sdxl_bucket_optimization
    if not config.enable_bucket or is_free or config.bucket_step % multiple == 0:
        return None
    return Advice(
        f"`bucket_reso_steps` is {config.bucket_step}, but {config.model_type} needs multiples of "
        f"{multiple}.",
        f"Set it to {multiple}.",
        change(bucket_reso_steps=multiple),
    )


@rule(Severity.NOTE, "min_bucket_reso", "max_bucket_reso", "bucket_reso_steps")
def bucket_limits_rounded(now: Situation) -> Advice | None:
    """Limits are rounded outwards to the step."""
    config, step = now.config, now.config.bucket_step
    low, high = config.min_bucket_reso // step * step, -(-config.max_bucket_reso // step) * step
    if not _limits_act(now) or (low, high) == (config.min_bucket_reso, config.max_bucket_reso):
        return None
    return Advice(
        f"Bucket sides are multiples of {step}, so their limits become {max(low, step)} and {high}."
    )


@rule(Severity.NOTE, "bucket_no_upscale", "min_bucket_reso", "max_bucket_reso")
def limits_unused(now: Situation) -> Advice | None:
    """Without enlarging, buckets follow the pictures and not the limits."""
    config = now.config
    changed = (config.min_bucket_reso, config.max_bucket_reso) != (256, 2048)
    if not (config.enable_bucket and config.bucket_no_upscale and changed):
        return None
    return Advice("With `bucket_no_upscale`, `min_bucket_reso` and `max_bucket_reso` are not used.")


@rule(Severity.WARNING, "min_bucket_reso", "max_bucket_reso")
def unusual_limits(now: Situation) -> Advice | None:
    """Very small sides lose the subject, very large ones the memory."""
    config = now.config
    is_small = config.min_bucket_reso < 256 <= min(config.resolution_size) // 2
    is_large = config.max_bucket_reso > 2048 >= max(config.resolution_size) * 2
    if not _limits_act(now) or not (is_small or is_large):
        return None
    low, high = max(256, config.min_bucket_reso), min(2048, config.max_bucket_reso)
    return Advice(
        f"Buckets may have sides from {config.min_bucket_reso} to {config.max_bucket_reso} px: pictures "
        "that are very long and narrow are learned badly, or need much memory.",
        f"{low} to {high} is usual.",
        change(min_bucket_reso=low, max_bucket_reso=high),
    )


@rule(Severity.NOTE, "enable_bucket", "resolution")
def shapes_without_buckets(now: Situation) -> Advice | None:
    """Without buckets all pictures get one shape."""
    shapes = now.facts.dataset.shapes if now.facts.dataset else 0
    if now.config.enable_bucket or shapes < 2:
        return None
    width, height = now.config.resolution_size
    return Advice(
        f"The pictures have {shapes} different shapes, and all are cut to {width}x{height}.",
        "Turn `enable_bucket` on to cut less off.",
        change(enable_bucket=True),
    )


@rule(Severity.WARNING, "train_batch_size", "partial_batches")
def small_batches(now: Situation) -> Advice | None:
    """Buckets that do not fill their batches make the batches smaller than asked for."""
    dataset, config = now.facts.dataset, now.config
    if dataset is None or not dataset.bucket_counts or config.fills_batches:
        return None
    sizes = batch_sizes_of(config, dataset)
    batches = sum(-(-count // size) for count, size in zip(dataset.bucket_counts, sizes, strict=True))
    partial = sum(count % size > 0 for count, size in zip(dataset.bucket_counts, sizes, strict=True))
    if 3 * partial <= batches or batches == 1:
        return None
    mean = sum(dataset.bucket_counts) / batches
    return Advice(
        f"{partial} of {batches} batches of an epoch are smaller than asked for: {mean:.1f} pictures on "
        f"average instead of {max(sizes)}.",
        "Fill them by showing pictures once more, merge small buckets, or use a smaller batch.",
        change(partial_batches="repeat"),
    )


@rule(Severity.NOTE, "partial_batches", "enable_bucket")
def nothing_to_merge(now: Situation) -> Advice | None:
    """There is one bucket only."""
    if now.config.enable_bucket or not now.config.merges_buckets:
        return None
    return Advice('`partial_batches` is "merge", but without `enable_bucket` there is only one bucket.')


def _limits_act(now: Situation) -> bool:
    return now.config.enable_bucket and not now.config.bucket_no_upscale
