"""What an adapter file is, in facts and in words."""

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from torch import Tensor

from lora_widgets.adapters.weight_change import rank_of, type_of
from lora_widgets.lora_files.combine import Resized
from lora_widgets.lora_files.lora_file import LoraFile, Modules

_ROTATIONS = ("Diag-OFT", "BOFT")
_SHOWN_FIRST = (
    *("modelspec.title", "modelspec.author", "modelspec.description", "modelspec.trigger_phrase"),
    *("ss_base_model_version", "ss_sd_model_name", "ss_network_module", "ss_network_args"),
    *("ss_steps", "ss_epoch", "ss_unet_lr", "ss_text_encoder_lr", "ss_optimizer", "ss_lr_scheduler"),
)
_LONGEST_VALUE = 200


@dataclass(frozen=True)
class PartFacts:
    """What a file has for one part of a model; counts are by type, rank and alpha of its modules."""

    part: str
    modules: int
    parameters: int
    types: Mapping[str, int]
    ranks: Mapping[int, int]
    alphas: Mapping[float, int]


@dataclass(frozen=True)
class FileFacts:
    """What a file is; ``hashes`` are those of its numbers, ``stated`` those that its metadata has."""

    family: str | None
    dialect: str
    parts: tuple[PartFacts, ...]
    dtypes: Mapping[str, int]
    unknown: tuple[str, ...]
    metadata: Mapping[str, str]
    hashes: Mapping[str, str]
    stated: Mapping[str, str]


def facts_of(
    file: LoraFile, tensors: Mapping[str, Tensor], hashes: Mapping[str, str], stated: Mapping[str, str]
) -> FileFacts:
    """Return what a file is; ``tensors`` are those it holds by its own keys."""
    by_part: dict[str, dict[str, dict[str, Tensor]]] = {}
    for name, own in file.modules.items():
        part = name if file.family is None else file.component_of(name).kohya
        by_part.setdefault("all" if file.family is None else part, {})[name] = own
    return FileFacts(
        family=file.family,
        dialect=file.dialect,
        parts=tuple(_part(part, modules) for part, modules in by_part.items()),
        dtypes=Counter(str(tensor.dtype).removeprefix("torch.") for tensor in tensors.values()),
        unknown=file.unknown,
        metadata=file.metadata,
        hashes=hashes,
        stated=stated,
    )


def words_for(facts: FileFacts) -> str:
    """Return the facts as a text of several lines."""
    lines = [f"{facts.family or 'unknown family'}, names as {facts.dialect} has them"]
    for part in facts.parts:
        lines.append(f"{part.part}: {part.modules} modules, {part.parameters:,} numbers")
        for what, counts in (("type", part.types), ("rank", part.ranks), ("alpha", part.alphas)):
            if counts:
                lines.append(f"  {what:<6}{_counted(counts)}")
    lines.append(f"stored as {_counted(facts.dtypes)}")
    for name, value in facts.hashes.items():
        told = facts.stated.get(name)
        note = "" if told is None else " (as its metadata says)" if told == value else f" (metadata: {told})"
        lines.append(f"{name} {value}{note}")
    if facts.unknown:
        lines.append(f"{len(facts.unknown)} unknown tensors, such as {facts.unknown[0]}")
    return "\n".join([*lines, *_metadata_lines(facts.metadata)])


def words_for_resized(result: Resized) -> str:
    """Return what ranks a tool left, and how much of the changes they keep."""
    if not result.ranks:
        return "No module has ranks."
    ranks, shares = result.ranks.values(), result.shares
    least = min(shares, key=lambda name: shares[name])
    return (
        f"{len(result.ranks)} modules with {min(ranks)} to {max(ranks)} ranks keep "
        f"{sum(shares.values()) / len(shares):.1%} of the norm, at least {shares[least]:.1%} ({least})"
    )


def _part(part: str, modules: Modules) -> PartFacts:
    kinds = {name: type_of(own) or "unknown" for name, own in modules.items()}
    ranks = [rank for own in modules.values() if (rank := rank_of(own)) is not None]
    alphas = [
        float(own["alpha"])
        for name, own in modules.items()
        if "alpha" in own and kinds[name] not in _ROTATIONS  # there it is a limit
    ]
    return PartFacts(
        part=part,
        modules=len(modules),
        parameters=sum(t.numel() for own in modules.values() for key, t in own.items() if key != "alpha"),
        types=Counter(kinds.values()),
        ranks=Counter(ranks),
        alphas=Counter(alphas),
    )


def _counted(counts: Mapping[Any, int]) -> str:
    """Write what there is, with counts where there is more than one kind."""
    ordered = sorted(counts.items(), key=lambda item: -item[1])
    texts = [f"{key:g}" if isinstance(key, float) else str(key) for key, _ in ordered]
    if len(texts) == 1:
        return texts[0]
    return ", ".join(f"{text} ({count}x)" for text, (_, count) in zip(texts, ordered, strict=True))


def _metadata_lines(metadata: Mapping[str, str]) -> list[str]:
    if not metadata:
        return ["no metadata"]
    names = [name for name in _SHOWN_FIRST if name in metadata]
    names += sorted(name for name in metadata if name not in names and not name.startswith("sshs_"))
    shown = {name: metadata[name] for name in names}
    cut = {n: v if len(v) <= _LONGEST_VALUE else f"{v[:_LONGEST_VALUE]}..." for n, v in shown.items()}
    return ["", *(f"{name} = {value}" for name, value in cut.items())]
