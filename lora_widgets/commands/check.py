"""``lora-widgets check CONFIG``: what is wrong with a configuration, how long it trains, and what it takes.

With ``--dataset [REPORT.html]`` it also writes a page that shows what the model will see.
"""

import argparse
import textwrap
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TextIO

from lora_widgets.commands.dataset_report import write_dataset_report
from lora_widgets.commands.reading import read_values
from lora_widgets.config.expectation import expected_memory, expected_seconds
from lora_widgets.config.findings import Draft, Facts, Finding, Severity, check
from lora_widgets.config.free_memory import free_disk_bytes, free_gpu_bytes, free_memory_bytes
from lora_widgets.config.memory_estimate import MemoryEstimate, PhaseMemory
from lora_widgets.config.misplaced import BASE_MODEL
from lora_widgets.config.missing import may_be_on_the_hub, missing_packages, missing_paths
from lora_widgets.config.steps import StepPlan
from lora_widgets.config.training_config import TrainingConfig
from lora_widgets.config.weight_facts import weight_facts
from lora_widgets.data.base_model import PART_FILES, base_model_facts, largest_side
from lora_widgets.data.facts import facts_for
from lora_widgets.data.measured_runs import measured_runs
from lora_widgets.data.prompt_file import look_up_prompts
from lora_widgets.errors import DatasetError, ModelError
from lora_widgets.preview.numbers import about, gigabytes

INDENT = " " * 10
_PICTURES = {"train_data_dir", "reg_data_dir", "mask_data_dir", "dataset_config"}
WIDTH = 100


def run(options: argparse.Namespace, out: TextIO) -> int:
    """Print findings, worst first, and what the run will take; return 1 if anything is an error."""
    draft = check(read_values(options.config, options.changes))
    facts, unusable = Facts(), list[Finding]()
    if draft.config is not None:
        config = draft.config
        facts, unusable = _facts(config)
        unusable += _base_model(config, (*unusable, *check(config, facts).findings))
        draft = check(config, facts)
    findings = [*unusable, *draft.findings]
    for severity in Severity:
        for finding in findings:
            if finding.severity is severity:
                print(finding_text(finding), file=out)
    for line in _what_it_takes(draft, facts):
        print(line, file=out)
    if options.dataset is not None:
        write_dataset_report(draft, options.dataset, out)
    print(verdict(findings), file=out)
    return 1 if any(finding.severity is Severity.ERROR for finding in findings) else 0


def finding_text(finding: Finding) -> str:
    """Write a finding as a paragraph that hangs from its severity, with the remedy on a line of its own.

    Where the sentences name no setting, the settings follow in brackets.
    """
    is_named = any(name in finding.message + finding.remedy for name in finding.settings)
    message = finding.message if is_named else f"{finding.message} ({', '.join(finding.settings)})"
    severity = f"{finding.severity.name.lower():<{len(INDENT)}}"
    head = _filled(message, severity)
    if not finding.remedy:
        return head
    return head + "\n" + _filled(finding.remedy, INDENT)


def _filled(text: str, start: str) -> str:
    """Break lines between words only, so that paths can be copied."""
    return textwrap.fill(
        text,
        WIDTH,
        initial_indent=start,
        subsequent_indent=INDENT,
        break_long_words=False,
        break_on_hyphens=False,
    )


def steps_text(steps: StepPlan) -> str:
    """Write the arithmetic from pictures to steps."""
    return (
        f"{steps.images} pictures (with repeats), {steps.batches_per_epoch} batches and "
        f"{steps.steps_per_epoch} steps per epoch, {steps.epochs} epochs: {steps.total_steps} steps in all"
    )


def memory_text(estimate: MemoryEstimate) -> str:
    """Write what each phase takes at most, and what will be on the disk."""
    known = _phases_text([phase for phase in estimate.phases if phase.is_measured])
    guessed = _phases_text([phase for phase in estimate.phases if not phase.is_measured])
    parts = (
        f"as measured on an earlier run of this kind: {known}" if known else "",
        f"estimated: {guessed}" if guessed else "",
        f"files on disk {gigabytes(estimate.disk)}",
    )
    return "Memory, " + "; ".join(part for part in parts if part)


def time_text(seconds: float) -> str:
    """Write how long the steps take."""
    return f"Time: about {about(seconds)} without samples, as the last run of this kind went"


def verdict(findings: Sequence[Finding]) -> str:
    """Say in one line how many findings of each kind there are."""
    counts = [(sum(f.severity is severity for f in findings), severity.name.lower()) for severity in Severity]
    said = [f"{count} {word}{'' if count == 1 else 's'}" for count, word in counts if count]
    return ", ".join(said) or "Nothing to report: ready to train."


def _what_it_takes(draft: Draft, facts: Facts) -> Iterator[str]:
    """Yield what is known of steps, time and memory."""
    config, steps = draft.config, draft.steps
    if config is None:
        return
    if steps is not None:
        yield steps_text(steps)
        seconds = expected_seconds(config, facts, steps)
        if seconds is not None:
            yield time_text(seconds)
    memory = expected_memory(config, facts, steps)
    if memory is not None:
        yield memory_text(memory)


def _phases_text(phases: Sequence[PhaseMemory]) -> str:
    return ", ".join(f"{phase.name.lower()} {gigabytes(phase.bytes)}" for phase in phases)


def _facts(config: TrainingConfig) -> tuple[Facts, list[Finding]]:
    files, damaged = weight_facts(dict(config))
    machine = Facts(
        files=files,
        missing_paths=missing_paths(dict(config)),
        missing_packages=missing_packages(),
        prompt_file=look_up_prompts(config.sample_prompts),
        free_memory_bytes=free_memory_bytes(),
        free_gpu_bytes=free_gpu_bytes(),
        free_disk_bytes=free_disk_bytes(config.output_dir),
        base_model=base_model_facts(dict(config)),
        largest_side=largest_side(dict(config)),
        measured=measured_runs(config.cache_dir),
    )
    if _PICTURES.intersection(machine.missing_paths):  # said already
        return machine, [*damaged]
    try:
        return replace(machine, dataset=facts_for(config).facts), [*damaged]
    except DatasetError as error:
        unusable = Finding(Severity.ERROR, ("train_data_dir",), str(error), "")
        return machine, [*damaged, unusable]


def _base_model(config: TrainingConfig, found: Sequence[Finding]) -> list[Finding]:
    """Open a base model that is on this machine as the training does; nothing of it is loaded.

    What is wrong with its files already is enough.
    """
    place = config.pretrained_model_name_or_path
    settings = {BASE_MODEL, *PART_FILES}
    known = any(f.severity is Severity.ERROR and settings.intersection(f.settings) for f in found)
    if known or (may_be_on_the_hub(place) and not Path(place).expanduser().exists()):
        return []
    from lora_widgets.families.family import open_family

    try:
        notes = open_family(config).notes
    except ModelError as error:
        return [Finding(Severity.ERROR, (BASE_MODEL,), str(error), "")]
    return [Finding(Severity.WARNING, (BASE_MODEL,), note, "") for note in notes]
