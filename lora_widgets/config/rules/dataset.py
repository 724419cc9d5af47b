"""Rules about pictures, length and resolution."""

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


@rule(Severity.NOTE, "flip_aug")
def mirrored_pictures(now: Situation) -> Advice | None:
    """Mirroring is no help where left and right differ."""
    if not now.config.flip_aug:
        return None
    return Advice("`flip_aug` harms lettering, and faces or characters that are not symmetric.")


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


@rule(Severity.WARNING, "resolution", "model_type")
def resolution_low(now: Situation) -> Advice | None:
    """The larger families were trained at about 1024 px and draw badly much below."""
    config, native = now.config, FAMILIES[now.config.model_type].native_size_px
    if native < 1024 or config.area >= (native * 3 // 4) ** 2:
        return None
    return Advice(
        f"`resolution` is {config.resolution}, but {config.model_type} was trained at about {native}.",
        f"Use {native * 3 // 4} to {native}.",
        change(resolution=native),
    )


@rule(Severity.NOTE, "resolution", "bucket_no_upscale")
def enlarged_pictures(now: Situation) -> Advice | None:
    """Small pictures are blown up, and their blur is learned."""
    count = now.facts.dataset.enlarged if now.facts.dataset else 0
    if not count or (now.config.enable_bucket and now.config.bucket_no_upscale):
        return None
    pictures = "1 picture is" if count == 1 else f"{count} pictures are"
    return Advice(
        f"{pictures} enlarged to more than twice the size, which makes them soft.",
        "Use larger pictures, a lower `resolution`, or `bucket_no_upscale`.",
        change(bucket_no_upscale=True),
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
