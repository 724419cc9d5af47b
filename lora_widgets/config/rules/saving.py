"""Rules about what is written and kept."""

from lora_widgets.config.rules.rule import Advice, Severity, Situation, change, rule


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
