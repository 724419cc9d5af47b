"""The tools on adapter files, from path to path; `lora-widgets file` and `LoraFiles` call these.

None of them overwrites a file, and all of them say what they do through ``progress``.
"""

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import torch
from torch import Tensor

from lora_widgets.adapters.keys import read_lora_file
from lora_widgets.catalog.formats import DIALECTS, SAVE_PRECISIONS
from lora_widgets.errors import ConfigError
from lora_widgets.lora_files.bake import bake
from lora_widgets.lora_files.base_model import BaseModel, open_base
from lora_widgets.lora_files.changes import refuse_other_family
from lora_widgets.lora_files.combine import Resized, merged, resized_modules
from lora_widgets.lora_files.describe import FileFacts, facts_of
from lora_widgets.lora_files.dialects import in_dialect
from lora_widgets.lora_files.extract import extracted
from lora_widgets.lora_files.finite import all_finite
from lora_widgets.lora_files.fusing import LOW_RANK
from lora_widgets.lora_files.layouts import LAYOUTS
from lora_widgets.lora_files.lora_file import LoraFile, Modules, read_lora, recognised
from lora_widgets.lora_files.lowrank import Keep
from lora_widgets.lora_files.problems import problems_of
from lora_widgets.lora_files.safetensors_file import HASHES, hashes_of
from lora_widgets.lora_files.writing import PICKLES, refuse_existing, write_lora

Progress = Callable[[int, int], None]
Weighted = Sequence[tuple[Path, float]]
_OF_THE_NETWORK = ("ss_network_dim", "ss_network_alpha", "ss_network_module", "ss_network_args")


def inspect_file(path: Path) -> FileFacts:
    """Return what a file is.

    Raises:
        StateError: it is missing, damaged, or no adapter.
    """
    tensors, metadata = read_lora_file(path)
    file = read_lora(path)
    stated = {name: metadata[name] for name in HASHES if name in metadata}
    plain = {name: value for name, value in metadata.items() if name not in HASHES}
    return facts_of(file, tensors, hashes_of(tensors, plain), stated)


def check_file(path: Path, *, base: Path | None) -> list[str]:
    """Return a sentence for each kind of problem; with a base model also whether the file fits it.

    Raises:
        StateError: the file is missing, damaged, or no adapter.
        ModelError: the base model is none.
    """
    tensors, metadata = read_lora_file(path)
    file = recognised(tensors, metadata)
    return problems_of(file, tensors, None if base is None else open_base(base, family=file.family))


def convert_file(source: Path, target: Path, *, dialect: str, precision: str | None) -> None:
    """Write a file again with the names of another dialect; ``precision`` None keeps the number format.

    Raises:
        StateError: the source cannot be read, or its family is unknown.
        ConfigError: the dialect has no names for it, or the target cannot be written.
    """
    _refuse_dialect(dialect)
    _refuse_target(target)
    file = read_lora(source)
    tensors = in_dialect(file.modules, dialect, family=file.layout.family)
    _write(target, tensors, file.metadata, precision)


def resize_file(
    source: Path,
    target: Path,
    *,
    keep: Keep,
    base: Path | None,
    precision: str | None,
    progress: Progress,
) -> Resized:
    """Write a file of any type as LoRA with fewer ranks; it keeps its names. Returns what was kept.

    Raises:
        StateError: the source cannot be read, or its family is unknown.
        ModelError: the base model is none, or does not fit.
        ConfigError: its type needs the base model, or the target cannot be written.
    """
    _refuse_target(target)
    file = read_lora(source)
    result = resized_modules(file, keep, _base_for([file], base), progress)
    _write_like(file, target, result.modules, precision, note={"resized_from": source.name})
    return result


def merge_files(
    sources: Weighted,
    target: Path,
    *,
    keep: Keep | None,
    base: Path | None,
    precision: str | None,
    progress: Progress,
) -> Modules:
    """Write the weighted sum of files of any type, exactly, or as LoRA with the ranks that ``keep`` leaves.

    Raises:
        StateError: a source cannot be read, or its family is unknown.
        ModelError: the base model is none, or does not fit.
        ConfigError: they do not go together, a type needs the base model, or the target cannot be written.
    """
    _refuse_target(target)
    if len(sources) < 2:
        raise ConfigError("There is one file only, so there is nothing to merge. Name at least two.")
    files = [(read_lora(path), weight) for path, weight in sources]
    modules = merged(files, keep, _base_for([file for file, _ in files], base), progress)
    names = ", ".join(f"{path.name}:{weight:g}" for path, weight in sources)
    _write_like(files[0][0], target, modules, precision, note={"modelspec.merged_from": names})
    return modules


def merge_into_model(
    base: Path, sources: Weighted, target: Path, *, precision: str | None, progress: Progress
) -> None:
    """Write a base model with the weighted changes of files of any type; a file or a folder, as the base is.

    Raises:
        StateError: a source cannot be read, or its family is unknown.
        ModelError: the base model is none, or does not fit.
        ConfigError: they do not go together, or the target cannot be written.
    """
    refuse_existing(target)
    files = [(read_lora(path), weight) for path, weight in sources]
    opened = open_base(base, family=files[0][0].family)
    if not opened.is_folder and target.suffix != ".safetensors":
        raise ConfigError(f"{target} is to hold a model, so its name must end with .safetensors.")
    bake(opened, files, target, dtype=_dtype(precision), progress=progress)


def extract_file(
    base: Path,
    tuned: Path,
    target: Path,
    *,
    keep: Keep,
    precision: str | None,
    progress: Progress,
) -> Resized:
    """Write the adapter that turns one model into another; kohya's names. Returns what was kept.

    Raises:
        ModelError: one is no base model, or they have other sizes.
        ConfigError: they are of other families or equal, or the target cannot be written.
    """
    _refuse_target(target)
    first, second = open_base(base, family=None), open_base(tuned, family=None)
    result = extracted(first, second, keep, kernels=False, progress=progress)
    metadata = {
        "ss_base_model_version": LAYOUTS[first.family].versions[0],
        "ss_sd_model_name": base.name,
        **_network(result.modules),
    }
    _write(target, in_dialect(result.modules, "kohya", family=first.family), metadata, precision)
    return result


def _base_for(files: Sequence[LoraFile], base: Path | None) -> BaseModel | None:
    """Open the base model of files, where one is named, and make sure that it is of their family."""
    if base is None:
        return None
    opened = open_base(base, family=files[0].layout.family)
    for file in files:
        refuse_other_family(opened, file)
    return opened


def _write_like(
    file: LoraFile, target: Path, modules: Modules, precision: str | None, *, note: Mapping[str, str]
) -> None:
    """Write modules in the dialect of a file, with its metadata where that still holds."""
    metadata = {k: v for k, v in file.metadata.items() if k not in (*HASHES, *_OF_THE_NETWORK)}
    tensors = in_dialect(modules, file.dialect, family=file.layout.family)
    _write(target, tensors, {**metadata, **_network(modules), **note}, precision)


def _network(modules: Modules) -> dict[str, str]:
    ranks = {own["lora_down.weight"].shape[0] for own in modules.values() if "lora_down.weight" in own}
    size = str(ranks.pop()) if len(ranks) == 1 else "Dynamic"  # as sd-scripts writes it
    is_plain = all(own.keys() <= LOW_RANK for own in modules.values())
    return {
        "ss_network_module": "networks.lora" if is_plain else "lycoris.kohya",
        "ss_network_dim": size,
        "ss_network_alpha": size,
        "ss_network_args": "{}",
    }


def _write(
    target: Path, tensors: Mapping[str, Tensor], metadata: Mapping[str, str], precision: str | None
) -> None:
    dtype = _dtype(precision)
    ready = {name: tensor.to(dtype or tensor.dtype).contiguous() for name, tensor in tensors.items()}
    if spoilt := [name for name, tensor in ready.items() if not all_finite(tensor)]:
        raise ConfigError(
            f"{spoilt[0]} would hold NaN or infinite numbers, so nothing was written. Check the sources, or "
            'choose the precision "bf16" or "float", which hold larger numbers.'
        )
    write_lora(target, ready, {k: v for k, v in metadata.items() if k not in HASHES})


def _dtype(precision: str | None) -> torch.dtype | None:
    if precision is None:
        return None
    if precision not in SAVE_PRECISIONS:
        raise ConfigError(f"The precision {precision!r} is unknown. Use {', '.join(SAVE_PRECISIONS)}.")
    return getattr(torch, SAVE_PRECISIONS[precision].dtype)


def _refuse_dialect(dialect: str) -> None:
    if dialect not in DIALECTS:
        raise ConfigError(f"The dialect {dialect!r} is unknown. Use {', '.join(DIALECTS)}.")


def _refuse_target(target: Path) -> None:
    if target.suffix not in (".safetensors", *PICKLES):
        raise ConfigError(f"{target} must end with .safetensors, {' or '.join(PICKLES)}.")
    refuse_existing(target)
