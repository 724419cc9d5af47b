"""Rules about pictures, length, resolution and buckets."""

from lora_widgets.catalog.families import FAMILIES
from lora_widgets.config.rules.rule import Advice, Severity, Situation, change, rule
from lora_widgets.config.setup import DEMO

_DEMO_SIDE_PX = 64


@rule(Severity.ERROR, "train_data_dir", "dataset_config")
def no_folder(now: Situation) -> Advice | None:
    """The pictures are in a folder, or in those of a file."""
    if now.config.train_data_dir.strip() or now.config.dataset_config:
        return None
    return Advice(
        "`train_data_dir` is empty, so there is nothing to train on.",
        "Choose the folder with your pictures, or a `dataset_config` that names several.",
    )


@rule(Severity.ERROR, "train_data_dir")
def no_pictures(now: Situation) -> Advice | None:
    """Nothing can be learned from no pictures."""
    if now.facts.dataset is None or now.facts.dataset.images > 0:
        return None
    return Advice(
        f"No pictures were found in `train_data_dir` {now.config.train_data_dir!r}.",
        "It must hold pictures, or folders named <repeats>_<name> that do.",
    )


@rule(Severity.WARNING, "train_data_dir")
def skipped_files(now: Situation) -> Advice | None:
    """Files that cannot be used are named."""
    skipped = now.facts.dataset.skipped if now.facts.dataset else ()
    if not skipped:
        return None
    more = f" and {len(skipped) - 3} more" if len(skipped) > 3 else ""
    files = "1 file is" if len(skipped) == 1 else f"{len(skipped)} files are"
    return Advice(
        f"{files} left out: {'; '.join(skipped[:3])}{more}.",
        "Repair or remove them.",
    )


@rule(Severity.WARNING, "train_data_dir", "caption_extension")
def missing_captions(now: Situation) -> Advice | None:
    """Pictures without text teach without words."""
    count = now.facts.dataset.without_caption if now.facts.dataset else 0
    if not count:
        return None
    pictures = "1 picture has" if count == 1 else f"{count} pictures have"
    return Advice(
        f"{pictures} no caption and will be trained with an empty one.",
        f"Put a text file with the picture's name and the ending {now.config.caption_extension} beside each.",
    )


@rule(Severity.ERROR, "max_train_epochs", "max_train_steps")
def no_length(now: Situation) -> Advice | None:
    """A training needs an end."""
    if now.config.max_train_epochs > 0 or now.config.max_train_steps > 0:
        return None
    return Advice(
        "`max_train_epochs` and `max_train_steps` are both 0: the training would have no steps.",
        "Set one of them above 0.",
        change(max_train_epochs=10),
    )


@rule(Severity.NOTE, "max_train_steps", "max_train_epochs")
def steps_win(now: Situation) -> Advice | None:
    """When both are set, the steps decide."""
    config = now.config
    if config.max_train_steps == 0 or config.max_train_epochs in (0, 10):
        return None
    return Advice(
        f"`max_train_steps` is {config.max_train_steps} and decides the length; `max_train_epochs` "
        f"({config.max_train_epochs}) is not used.",
        "Set `max_train_steps` to 0 to train by epochs.",
        change(max_train_steps=0),
    )


@rule(Severity.NOTE, "max_train_epochs", "num_repeats")
def unusual_length(now: Situation) -> Advice | None:
    """Very short and very long trainings are worth a look."""
    if now.steps is None or 50 <= now.steps.total_steps <= 10_000:
        return None
    total = now.steps.total_steps
    word = (
        "few: little can be learned"
        if total < 50
        else "many: it takes long and may learn the pictures by heart"
    )
    return Advice(f"The training has {total} steps, which is {word}.", "500 to 3000 is usual.")


@rule(Severity.WARNING, "resolution", "bucket_reso_steps")
def resolution_off_the_step(now: Situation) -> Advice | None:
    """Sides that are no multiple of the step are rounded down."""
    step, sides = now.config.bucket_step, now.config.resolution_size
    rounded = [max(step, side // step * step) for side in sides]
    if rounded == list(sides):
        return None
    value = rounded[0] if len(set(rounded)) == 1 else ",".join(map(str, rounded))
    return Advice(
        f"`resolution` is {now.config.resolution}, which is no multiple of {step}: pictures will be up to "
        f"{rounded[0]}x{rounded[1]}.",
        f"Set it to {value}.",
        change(resolution=value),
    )


@rule(Severity.WARNING, "resolution", "model_type")
def resolution_high(now: Situation) -> Advice | None:
    """SD1.5 repeats subjects on pictures much larger than it was trained on."""
    config = now.config
    is_demo = config.pretrained_model_name_or_path == DEMO
    if config.model_type != "SD1.5" or is_demo or max(config.resolution_size) <= 768:
        return None
    return Advice(
        f"`resolution` is {config.resolution}, but SD1.5 was trained at 512: subjects repeat, and memory "
        "runs short.",
        "Use 512 to 768.",
        change(resolution=512),
    )


@rule(Severity.WARNING, "resolution", "pretrained_model_name_or_path")
def resolution_of_the_demo(now: Situation) -> Advice | None:
    """The model that comes with the package draws 64 px pictures."""
    config = now.config
    if config.pretrained_model_name_or_path != DEMO or max(config.resolution_size) <= 2 * _DEMO_SIDE_PX:
        return None
    return Advice(
        f'`resolution` is {config.resolution}, but the base model "demo" draws pictures of 64 px.',
        "Set it to 64.",
        change(resolution=_DEMO_SIDE_PX, min_bucket_reso=_DEMO_SIDE_PX),
    )


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


@rule(Severity.ERROR, "bucket_reso_steps", "model_type")
def step_of_the_family(now: Situation) -> Advice | None:
    """The model halves the picture several times, so sides must be divisible."""
    config, multiple = now.config, FAMILIES[now.config.model_type].bucket_multiple
    is_demo = config.pretrained_model_name_or_path == DEMO
    if not config.enable_bucket or is_demo or config.bucket_step % multiple == 0:
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


@rule(Severity.WARNING, "train_batch_size", "enable_bucket")
def small_buckets(now: Situation) -> Advice | None:
    """Buckets with fewer pictures than a batch make the batches smaller than asked for."""
    counts = now.facts.dataset.bucket_counts if now.facts.dataset else ()
    size = now.config.train_batch_size
    small = sum(1 for count in counts if count < size)
    if size == 1 or len(counts) < 2 or 2 * small <= len(counts):
        return None
    return Advice(
        f"{small} of {len(counts)} buckets hold fewer than {size} pictures, so most batches are smaller than "
        "`train_batch_size`.",
        "Use a smaller batch, more repeats, or pictures of fewer shapes.",
    )


def _limits_act(now: Situation) -> bool:
    return now.config.enable_bucket and not now.config.bucket_no_upscale
