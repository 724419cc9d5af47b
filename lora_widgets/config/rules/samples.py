"""Rules about sample pictures."""

from lora_widgets.catalog.samplers import SAMPLERS
from lora_widgets.config.rules.rule import Advice, Severity, Situation, change, rule


@rule(Severity.ERROR, "sample_prompts", "sample_every_n_epochs", "sample_every_n_steps")
def no_prompts(now: Situation) -> Advice | None:
    """Samples need prompts."""
    if not now.config.sample_every.is_on or (now.config.sample_prompts or "").strip():
        return None
    return Advice(
        "Samples are to be drawn, but `sample_prompts` is empty.",
        "Write at least one prompt, or set `sample_every_n_epochs` and `sample_every_n_steps` to 0.",
        change(sample_every_n_epochs=0, sample_every_n_steps=0),
    )


@rule(Severity.NOTE, "sample_prompts", "sample_every_n_epochs", "sample_every_n_steps")
def prompts_unused(now: Situation) -> Advice | None:
    """Prompts without a cadence are not drawn during the training."""
    if now.config.sample_every.is_on or not now.config.sample_prompts:
        return None
    return Advice(
        "`sample_prompts` is set, but no samples are drawn while training.",
        "Set `sample_every_n_epochs` to 1.",
        change(sample_every_n_epochs=1),
    )


@rule(Severity.ERROR, "sample_prompts")
def prompt_file_format(now: Situation) -> Advice | None:
    """Prompt files are text files."""
    prompts = now.config.sample_prompts or ""
    if "\n" in prompts or not prompts.strip().lower().endswith((".toml", ".json")):
        return None
    return Advice(
        f"`sample_prompts` is {prompts[:200]!r}, but prompts are read from a .txt file only.",
        "Write one prompt per line, here or in a .txt file.",
    )


@rule(Severity.NOTE, "sample_every_n_epochs", "sample_every_n_steps")
def samples_never_come(now: Situation) -> Advice | None:
    """The first samples would come after the end."""
    every = now.config.sample_every
    if now.steps is None or not every.is_on:
        return None
    if 0 < every.epochs <= now.steps.epochs or 0 < every.steps <= now.steps.total_steps:
        return None
    return Advice(
        f"The training ends before samples are drawn: it has {now.steps.epochs} epochs and "
        f"{now.steps.total_steps} steps.",
        "Draw them more often.",
    )


@rule(Severity.ERROR, "sample_sampler")
def sampler_package(now: Situation) -> Advice | None:
    """One sampler needs a package of its own."""
    package = SAMPLERS[now.config.sample_sampler].package
    if not package or package not in now.facts.missing_packages or not now.config.sample_every.is_on:
        return None
    return Advice(
        f"`sample_sampler` is {now.config.sample_sampler}, which needs the package {package}, and that is "
        "not "
        "installed.",
        f"Run: pip install {package} - or choose euler_a.",
        change(sample_sampler="euler_a"),
    )
