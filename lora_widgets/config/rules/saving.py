"""Rules about what is written and kept."""

from lora_widgets.catalog.lora_types import LORA_TYPES
from lora_widgets.config.rules.rule import Advice, Severity, Situation, change, rule

_READ_BY_DIFFUSERS = [row.name for row in LORA_TYPES.values() if "diffusers" in row.read_by]
_LISTED = f"{', '.join(_READ_BY_DIFFUSERS[:-1])} and {_READ_BY_DIFFUSERS[-1]}"


@rule(Severity.ERROR, "output_name", "output_dir")
def name_is_taken(now: Situation) -> Advice | None:
    """Files of an earlier run are not overwritten."""
    stem, taken = now.config.file_stem, now.facts.taken_names
    if now.config.resume or stem not in taken:
        return None
    free = next(name for number in range(2, len(taken) + 3) if (name := f"{stem[:90]}-{number}") not in taken)
    return Advice(
        f"`output_dir` already holds a run named {stem!r}, and nothing is overwritten.",
        f'Set `output_name` to "{free}", or `resume` to "latest" to go on with that run.',
        change(output_name=free),
    )


@rule(Severity.NOTE, "save_every_n_epochs", "save_every_n_steps")
def only_the_end_is_saved(now: Situation) -> Advice | None:
    """Without a cadence there is only the last file."""
    if now.config.save_every.is_on:
        return None
    return Advice(
        "Only the weights at the end are saved; without a state on the way, a kernel that dies loses the "
        "run.",
        "Set `save_every_n_epochs` to 1.",
        change(save_every_n_epochs=1),
    )


@rule(Severity.NOTE, "save_every_n_epochs", "save_every_n_steps", "max_train_epochs")
def saving_never_comes(now: Situation) -> Advice | None:
    """The first save would come after the end."""
    if now.steps is None or not now.config.save_every.is_on:
        return None
    every = now.config.save_every
    by_epochs = 0 < every.epochs < now.steps.epochs
    by_steps = 0 < every.steps < now.steps.total_steps
    if by_epochs or by_steps:
        return None
    return Advice(
        f"The training ends before weights are saved on the way: it has {now.steps.epochs} epochs and "
        f"{now.steps.total_steps} steps.",
        "The end is always saved; set `save_every_n_steps` lower to see the way there.",
    )


@rule(Severity.NOTE, "save_last_n_epochs", "save_every_n_epochs")
def nothing_to_thin_out(now: Situation) -> Advice | None:
    """Keeping the last few needs saving by epoch."""
    if now.config.save_last_n_epochs == 0 or now.config.save_every_n_epochs > 0:
        return None
    return Advice(
        "`save_last_n_epochs` has no effect: `save_every_n_epochs` is 0.", "", change(save_every_n_epochs=1)
    )


@rule(Severity.NOTE, "save_last_n_epochs_state", "save_state")
def only_one_state(now: Situation) -> Advice | None:
    """Without save_state only the newest state is kept anyway."""
    if now.config.save_last_n_epochs_state == 0 or now.config.save_state:
        return None
    return Advice(
        "`save_last_n_epochs_state` has no effect: without `save_state` only the newest state is kept.",
        "Turn `save_state` on to keep more.",
        change(save_state=True),
    )


@rule(Severity.NOTE, "no_metadata")
def metadata_left_out(now: Situation) -> Advice | None:
    """Other programs read the metadata."""
    if not now.config.no_metadata:
        return None
    return Advice(
        "`no_metadata` is on: other programs cannot tell the model family, nor show the trained tags.",
        "",
        change(no_metadata=False),
    )


@rule(Severity.NOTE, "save_precision")
def large_file(now: Situation) -> Advice | None:
    """Full precision doubles the file."""
    if now.config.save_precision != "float":
        return None
    return Advice(
        "`save_precision` is float: the file is twice as large, without visible gain.", "fp16 is usual."
    )


@rule(Severity.ERROR, "save_model_as", "save_dialect", "lora_type")
def no_names_for_type(now: Situation) -> Advice | None:
    """The program diffusers has names for low-rank matrices only, and for a size for each output."""
    config, reads = now.config, LORA_TYPES[now.config.lora_type].reads
    if config.dialect != "diffusers":
        return None
    setting = "save_model_as" if config.save_model_as == "diffusers" else "save_dialect"
    other = "safetensors" if setting == "save_model_as" else "kohya"
    fix = change(**{setting: other})
    if config.lora_type not in _READ_BY_DIFFUSERS:
        return Advice(
            f"`{setting}` is diffusers, which reads {_LISTED} only, not {config.lora_type}.",
            f"Set `{setting}` to {other}.",
            fix,
        )
    if config.train_norm and "train_norm" in reads:
        return Advice(
            f"`{setting}` is diffusers, which has no names for what `train_norm` adds.",
            f"Set `{setting}` to {other}, or turn `train_norm` off.",
            fix,
            (change(train_norm=False),),
        )
    if config.wd_on_output or "wd_on_output" not in reads:
        return None
    return Advice(
        f"`{setting}` is diffusers, which reads a size for each output, but `wd_on_output` is off.",
        f"Set `{setting}` to {other}, or turn `wd_on_output` on.",
        fix,
        (change(wd_on_output=True),),
    )


@rule(Severity.NOTE, "save_model_as")
def pickle_without_metadata(now: Situation) -> Advice | None:
    """A pickle holds tensors only."""
    kind = now.config.save_model_as
    if kind not in ("ckpt", "pt"):
        return None
    return Advice(
        f"`save_model_as` is {kind}: such a file holds no metadata, so other programs cannot tell the model "
        "family, nor show trigger words.",
        "safetensors is read everywhere.",
        change(save_model_as="safetensors"),
    )


@rule(Severity.NOTE, "private_metadata", "training_comment")
def comment_left_out(now: Situation) -> Advice | None:
    """A comment is of no use where it is not written."""
    config = now.config
    if not config.training_comment or not (config.no_metadata or config.private_metadata):
        return None
    reason = "no_metadata" if config.no_metadata else "private_metadata"
    return Advice(
        f"`training_comment` has no effect: `{reason}` leaves it out of the file.",
        "",
        change(**{reason: False}),
        (change(training_comment=""),),
    )
