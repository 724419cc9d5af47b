"""What the settings alone cannot know, read from the disk: pictures, missing paths, names in use, packages.

Looks and never writes, and no exception leaves `look`: what cannot be read is a finding. May be slow where
the pictures are many, so the panel calls it in the background.
"""

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path

from pydantic import ValidationError

from lora_widgets.config.fields import fields
from lora_widgets.config.findings import Facts, Finding, Severity
from lora_widgets.config.free_memory import free_disk_bytes, free_gpu_bytes, free_memory_bytes
from lora_widgets.config.missing import PATHS, missing_packages, missing_paths
from lora_widgets.config.section import unquoted
from lora_widgets.config.training_config import TrainingConfig
from lora_widgets.config.weight_facts import weight_facts
from lora_widgets.data.base_model import PART_FILES, base_model_facts, largest_side
from lora_widgets.data.measured_runs import measured_runs
from lora_widgets.data.prompt_file import look_up_prompts
from lora_widgets.errors import DatasetError
from lora_widgets.widgets.known_pictures import SCAN_SETTINGS, KnownPictures

FOLDER = "train_data_dir"
OUTPUT = "output_dir"
PROMPTS = "sample_prompts"
CACHE = "cache_dir"
BASE_MODEL = "pretrained_model_name_or_path"
PLACE_SETTINGS = (
    BASE_MODEL,
    "tokenizer_path",
    "shuffle_caption",
    "caption_tag_dropout_rate",
    "keep_tokens",
    "keep_tokens_separator",
    "caption_separator",
    "secondary_separator",
    "enable_wildcard",
    "weighted_captions",
    "caption_prefix",
    "caption_suffix",
    "resolution",
    "enable_bucket",
    "sdxl_bucket_optimization",
    "min_bucket_reso",
    "max_bucket_reso",
    "bucket_no_upscale",
    "bucket_reso_steps",
    "partial_batches",
    "train_batch_size",
)
"""The settings that decide at which sizes known pictures are trained, and how long their captions are."""

LOOKED_AT = tuple(
    dict.fromkeys((*SCAN_SETTINGS, *PLACE_SETTINGS, *(spec.name for spec in PATHS), PROMPTS, "model_type"))
)
"""All settings on which the result of a look depends."""

_REQUIRED = {spec.name: "unset" for spec in fields(TrainingConfig) if spec.required}
_WEIGHTS = re.compile(r"(?P<name>.+?)(\.safetensors|-state)")
_POSITION = re.compile(r"-(\d{6}|step\d{8})$")


@dataclass(frozen=True)
class Seen:
    """What a look found; ``repeats`` are the different numbers of repeats, smallest first."""

    facts: Facts = field(default_factory=Facts)
    findings: tuple[Finding, ...] = ()
    repeats: tuple[int, ...] = ()

    def still_true(self, changed: Iterable[str]) -> "Seen":
        """Return what remains true after the settings ``changed``."""
        names = set(changed)
        missing = tuple(name for name in self.facts.missing_paths if name not in names)
        facts = replace(self.facts, missing_paths=missing)
        files = {name: kind for name, kind in self.facts.files.items() if name not in names}
        facts = replace(facts, files=files)
        if OUTPUT in names:
            facts = replace(facts, taken_names=frozenset(), free_disk_bytes=None)
        if names & {BASE_MODEL, "model_type", *PART_FILES}:
            facts = replace(facts, base_model=None, largest_side=None)
        if PROMPTS in names:
            facts = replace(facts, prompt_file=None)
        if CACHE in names:
            facts = replace(facts, measured=())
        if names & {FOLDER, "dataset_config"}:
            return Seen(replace(facts, dataset=None))
        return replace(self, facts=facts)


class LookAround:
    """Looks again and again, and counts pictures anew only where a setting says that there may be others."""

    def __init__(self) -> None:
        self._pictures = KnownPictures()

    def __call__(self, values: Mapping[str, object]) -> Seen:
        """Look at everything that the settings, as entered, name on this machine."""
        return look(values, self._pictures)

    def forget(self) -> None:
        """Count the pictures anew next time: the disk may have changed."""
        self._pictures.forget()


def watched(values: Mapping[str, object]) -> dict[str, object]:
    """Return the settings that a new look would see differently.

    The size of the batches is not among them unless pictures are placed by it: steps follow it by themselves.
    """
    found = {name: values.get(name) for name in LOOKED_AT}
    if values.get("partial_batches") != "merge" and not values.get("dataset_config"):
        del found["train_batch_size"]
    return found


def look(values: Mapping[str, object], pictures: KnownPictures) -> Seen:
    """Look at everything that the settings, as entered, name on this machine."""
    values = {**values, **_unquoted(values)}
    missing = missing_paths(values)
    seen = Seen() if FOLDER in missing else _pictures(values, pictures)
    files, damaged = weight_facts(values)
    facts = replace(
        seen.facts,
        files=files,
        missing_paths=missing,
        missing_packages=missing_packages(),
        taken_names=taken_names(str(values.get(OUTPUT) or "")),
        free_memory_bytes=free_memory_bytes(),
        free_gpu_bytes=free_gpu_bytes(),
        free_disk_bytes=free_disk_bytes(str(values.get(OUTPUT) or ".")),
        base_model=base_model_facts(values),
        largest_side=largest_side(values),
        prompt_file=look_up_prompts(str(values.get(PROMPTS) or "")),
        measured=measured_runs(values.get(CACHE)),
    )
    return replace(seen, facts=facts, findings=(*seen.findings, *damaged))


def _unquoted(values: Mapping[str, object]) -> dict[str, str]:
    """Return the paths that are entered as the configuration reads them."""
    entered = ((spec.name, values.get(spec.name)) for spec in PATHS)
    return {name: unquoted(str(value)) for name, value in entered if value}


def taken_names(output_dir: str) -> frozenset[str]:
    """Return every name for which a new run would find files of an earlier one in the output folder."""
    if not output_dir.strip():
        return frozenset()
    try:
        entries = [entry.name for entry in Path(output_dir).iterdir()]
    except (OSError, ValueError):  # not there yet, no folder, or no possible name: training says so
        return frozenset()
    names = [match["name"] for match in map(_WEIGHTS.fullmatch, entries) if match]
    return frozenset((*names, *(_POSITION.sub("", name) for name in names)))


def _pictures(values: Mapping[str, object], pictures: KnownPictures) -> Seen:
    given = {name: values[name] for name in (*SCAN_SETTINGS, *PLACE_SETTINGS) if name in values}
    if not given.get(BASE_MODEL):  # not chosen yet: pictures are counted all the same
        given.pop(BASE_MODEL, None)
    try:
        settings = TrainingConfig.model_validate({**_REQUIRED, **given})
    except ValidationError:  # the form says it at the field
        return Seen()
    if FOLDER not in given:
        return Seen()
    try:
        found = pictures.find(settings)
    except DatasetError as error:
        return Seen(findings=(Finding(Severity.ERROR, (FOLDER,), str(error), ""),))
    except (OSError, ValueError) as error:
        return Seen(findings=(_unreadable(error),))
    notes = tuple(Finding(Severity.NOTE, (FOLDER,), note, "") for note in found.scan.notes)
    repeats = tuple(sorted({image.repeats for image in found.scan.images}))
    return Seen(Facts(dataset=found.facts), notes, repeats)


def _unreadable(error: OSError | ValueError) -> Finding:
    reason = (error.strerror if isinstance(error, OSError) else None) or str(error)
    message = f"The pictures of `{FOLDER}` cannot be read: {reason}."
    return Finding(Severity.ERROR, (FOLDER,), message, "Was the folder moved or deleted? Choose it again.")
