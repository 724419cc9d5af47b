"""Everything that can be known, and refused, before any model is loaded."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from lora_widgets.catalog.families import FAMILIES
from lora_widgets.catalog.formats import SAVE_FORMATS
from lora_widgets.config.caption_weights import words_of
from lora_widgets.config.expectation import expected_memory
from lora_widgets.config.findings import Facts, Finding, Severity, check
from lora_widgets.config.free_memory import free_disk_bytes, free_memory_bytes
from lora_widgets.config.layer_presets import layers_of
from lora_widgets.config.memory_estimate import MemoryEstimate
from lora_widgets.config.prompts import Prompt, prompts_of, written_prompts
from lora_widgets.config.steps import StepPlan, steps_of
from lora_widgets.config.training_config import TrainingConfig
from lora_widgets.data.base_model import base_model_facts
from lora_widgets.data.facts import FoundPictures, facts_for
from lora_widgets.data.measured_runs import measured_runs
from lora_widgets.data.prompt_file import look_up_prompts
from lora_widgets.data.tokens import count_tokens, find_tokenizer
from lora_widgets.errors import ConfigError, StateError
from lora_widgets.families.family import Family, open_family
from lora_widgets.lora_files.lora_file import kohya_tensors
from lora_widgets.training.folder import RunFolder
from lora_widgets.training.optimizers import optimizer_keywords
from lora_widgets.training.precision import free_gpu_bytes, has_bf16, has_cuda
from lora_widgets.training.samples import ready_scheduler
from lora_widgets.training.state import Saved, find_state, identity_of, read_state, refuse_differences

_SHOWN_LENGTH = 40


@dataclass(frozen=True)
class Plan:
    """A run that can begin: what was found, what will be done, and where it goes on from, if it does.

    ``memory`` is None where the size of the base model is unknown; ``facts`` are what it was checked against.
    """

    config: TrainingConfig
    found: FoundPictures
    steps: StepPlan
    family: Family
    folder: RunFolder
    prompts: tuple[Prompt, ...]
    identity: dict[str, str]
    warnings: tuple[str, ...]
    resumed: Saved | None
    start_values: tuple[dict[str, Any], str] | None
    memory: MemoryEstimate | None
    facts: Facts


def make_plan(config: TrainingConfig) -> Plan:
    """Check a configuration against the files it names, and make its run folder.

    Raises:
        LoraWidgetsError: something in it cannot work; the text says what to change. Nothing was loaded.
    """
    _refuse_errors(check(config).findings)
    found, family = facts_for(config), open_family(config)
    facts = Facts(
        dataset=found.facts,
        cuda=has_cuda(),
        bf16=has_bf16(),
        free_memory_bytes=free_memory_bytes(),
        free_gpu_bytes=free_gpu_bytes(),
        free_disk_bytes=free_disk_bytes(config.output_dir),
        base_model=base_model_facts(dict(config)),
        largest_side=family.largest_side,
        prompt_file=look_up_prompts(config.sample_prompts),
        measured=measured_runs(config.cache_dir),
    )
    findings = check(config, facts).findings
    _refuse_errors(findings)
    steps = steps_of(config, found.facts)
    assert steps is not None  # without pictures or length there were errors
    optimizer_keywords(config)
    layers_of(config.preset, lora_type=config.lora_type)
    prompts = _prompts(config, facts, family)
    suffix = SAVE_FORMATS[config.save_model_as].suffix
    folder = RunFolder(Path(config.output_dir), config.file_stem, suffix)
    identity = identity_of(config, found.facts.bucket_counts)
    resumed = _resumed(config, folder, identity, steps)
    start_values = _start_values(config, resumed)
    folder.make()
    warnings = tuple(_sentences(f) for f in findings if f.severity is Severity.WARNING)
    warnings += (*family.notes, *_cut_prompts(prompts, config))
    memory = expected_memory(config, facts, steps)
    return Plan(
        config,
        found,
        steps,
        family,
        folder,
        prompts,
        identity,
        warnings,
        resumed,
        start_values,
        memory,
        facts,
    )


def _refuse_errors(findings: Iterable[Finding]) -> None:
    errors = [_sentences(f) for f in findings if f.severity is Severity.ERROR]
    if errors:
        raise ConfigError("\n".join(errors))


def _sentences(finding: Finding) -> str:
    return f"{finding.message} {finding.remedy}".strip()


def _prompts(config: TrainingConfig, facts: Facts, family: Family) -> tuple[Prompt, ...]:
    if not config.sample_every.is_on:
        return ()
    prompts = prompts_of(written_prompts(config.sample_prompts, facts.prompt_file), config)
    for prompt in prompts:
        name = prompt.sampler or config.sample_sampler
        try:
            ready_scheduler(prompt, family, default=config.sample_sampler)
        except (ImportError, ValueError) as error:
            reason = " ".join(str(error).split()).rstrip(" .")  # some are several lines
            raise ConfigError(
                f"The sampler {name!r} cannot draw {prompt.text!r} in {prompt.steps} steps here: {reason}. "
                "Choose another sampler, or another number of steps."
            ) from error
    return prompts


def _cut_prompts(prompts: Iterable[Prompt], config: TrainingConfig) -> Iterator[str]:
    """Say which prompts are longer than CLIP reads; T5 reads much more."""
    tokenizer = find_tokenizer(config.pretrained_model_name_or_path, config.tokenizer_path)
    if tokenizer is None or FAMILIES[config.model_type].is_flow:
        return
    for text in dict.fromkeys(text for prompt in prompts for text in (prompt.text, prompt.negative)):
        length = count_tokens(tokenizer, words_of(text) if config.weighted_captions else text)
        if length > config.max_token_length:
            yield (
                f"`sample_prompts`: {text[:_SHOWN_LENGTH]!r} goes on to {length} tokens, and what is beyond "
                f"{config.max_token_length} is not drawn. Raise `max_token_length`, or write it shorter."
            )


def _resumed(
    config: TrainingConfig, folder: RunFolder, identity: dict[str, str], steps: StepPlan
) -> Saved | None:
    if not config.resume:
        folder.refuse_leftovers()
        return None
    saved = read_state(find_state(config.resume, folder))
    refuse_differences(saved.progress, identity, source=saved.source)
    if saved.progress.step >= steps.total_steps:
        raise StateError(
            f"The run in {saved.source} has done {saved.progress.step} steps already, and these "
            f"settings ask for "
            f"{steps.total_steps}. Raise `max_train_epochs` or `max_train_steps` to train longer."
        )
    return saved


def _start_values(config: TrainingConfig, resumed: Saved | None) -> tuple[dict[str, Any], str] | None:
    """Return the tensors of ``continue_from_lora`` and their source; a resumed run has its own."""
    if not config.continue_from_lora or resumed:
        return None
    return kohya_tensors(config.continue_from_lora, family=config.model_type), config.continue_from_lora
