"""What the parts of each family are called in adapter files and in base models, and how their paths differ.

kohya's names come first here: a module *is* what has one name there. On Flux and SD3 that is what the
publisher's code has, which may be several modules of diffusers, whose rows are stacked.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from typing import Literal

import torch
from torch import Tensor

from lora_widgets.catalog.native_paths import NativeBlocks
from lora_widgets.catalog.transformer_paths import (
    FLUX_BLOCKS,
    FLUX_OUTSIDE,
    LAST_MODULATION,
    SD3_BLOCKS,
    SD3_OUTSIDE,
)
from lora_widgets.catalog.unet_paths import from_ldm, to_ldm

Paths = Literal["unet", "ldm unet", "blocks", "text"]


@dataclass(frozen=True)
class Component:
    """A part of a model.

    ``kohya`` begins the names of its modules in kohya's files, ``diffusers`` is its folder and begins names
    in diffusers' files, ``comfy`` begins names that follow the publisher's code, and one of ``in_file`` the
    tensors of a base model in one file. ``paths`` says what kohya's paths are. ``is_flattened`` says that
    transformers 5 has no level ``text_model`` in it any more.
    """

    kohya: str
    diffusers: str
    comfy: str
    in_file: tuple[str, ...]
    paths: Paths
    is_flattened: bool = False

    def places_in_diffusers(self, member: str) -> tuple[str, ...]:
        """Return what diffusers calls the module with this path in it.

        There are two names for a flattened part: diffusers 0.39 with transformers 5 looks for the short one
        only, and programs on transformers 4 for the long one only. All skip names that they do not know.
        """
        long = f"{self.diffusers}.{member}"
        return (long, long.replace(".text_model.", ".", 1)) if self.is_flattened else (long,)


@dataclass(frozen=True)
class Layout:
    """The parts of a family; ``blocks`` and ``outside`` relate diffusers' paths in its transformer to files'.

    ``versions`` begin what metadata says of its base models.
    """

    family: str
    components: tuple[Component, ...]
    versions: tuple[str, ...]
    blocks: tuple[NativeBlocks, ...] = ()
    outside: Mapping[str, str] | None = None
    plain_up_blocks: frozenset[int] = frozenset()

    def component(self, kohya: str) -> Component | None:
        """Return the part with this beginning of kohya's names."""
        return next((part for part in self.components if part.kohya == kohya), None)


@dataclass(frozen=True)
class MemberPlace:
    """A module of diffusers, and the rows of the module in files that are its own; None means all of them.

    ``halves_swapped`` says that its second half of rows comes first in files.
    """

    path: str
    rows: slice | None = None
    halves_swapped: bool = False

    def own(self, whole: Tensor) -> Tensor:
        """Return the rows of the module in files that are this one's, in its order."""
        rows = whole if self.rows is None else whole[self.rows]
        return torch.roll(rows, len(rows) // 2, 0) if self.halves_swapped else rows


_CLIP_L = ("text_encoders.clip_l.transformer", "text_encoders.clip_g.transformer")
_T5 = "text_encoders.t5xxl.transformer"
_DENOISER_IN_FILE = ("model.diffusion_model.", "")
_CONTEXT_MODULATION = "context_block.adaLN_modulation.1"

_ROWS = (
    Layout(
        family="SD1.5",
        components=(
            Component("lora_unet", "unet", "diffusion_model", ("model.diffusion_model.",), "unet"),
            Component(
                "lora_te",
                "text_encoder",
                _CLIP_L[0],
                ("cond_stage_model.transformer.",),
                "text",
                is_flattened=True,
            ),
        ),
        versions=("sd_v1", "stable-diffusion-v1"),
        plain_up_blocks=frozenset({0}),
    ),
    Layout(
        family="SDXL",
        components=(
            Component("lora_unet", "unet", "diffusion_model", ("model.diffusion_model.",), "ldm unet"),
            Component(
                "lora_te1",
                "text_encoder",
                _CLIP_L[0],
                ("conditioner.embedders.0.transformer.",),
                "text",
                is_flattened=True,
            ),
            Component("lora_te2", "text_encoder_2", _CLIP_L[1], ("conditioner.embedders.1.model.",), "text"),
        ),
        versions=("sdxl", "stable-diffusion-xl"),
    ),
    Layout(
        family="Flux",
        components=(
            Component("lora_unet", "transformer", "diffusion_model", _DENOISER_IN_FILE, "blocks"),
            Component("lora_te1", "text_encoder", _CLIP_L[0], (f"{_CLIP_L[0]}.",), "text", is_flattened=True),
            Component("lora_te3", "text_encoder_2", _T5, (f"{_T5}.",), "text"),
        ),
        versions=("flux",),
        blocks=FLUX_BLOCKS,
        outside=FLUX_OUTSIDE,
    ),
    Layout(
        family="SD3",
        components=(
            Component("lora_unet", "transformer", "diffusion_model", _DENOISER_IN_FILE, "blocks"),
            Component("lora_te1", "text_encoder", _CLIP_L[0], (f"{_CLIP_L[0]}.",), "text"),
            Component("lora_te2", "text_encoder_2", _CLIP_L[1], (f"{_CLIP_L[1]}.",), "text"),
            Component("lora_te3", "text_encoder_3", _T5, (f"{_T5}.",), "text"),
        ),
        versions=("sd3", "stable-diffusion-3"),
        blocks=SD3_BLOCKS,
        outside=SD3_OUTSIDE,
    ),
)

LAYOUTS: dict[str, Layout] = {row.family: row for row in _ROWS}


def native_path(layout: Layout, component: Component, path: str) -> str:
    """Return the path in the publisher's own code of the module with kohya's ``path``."""
    if component.paths == "unet":
        return to_ldm(path, plain_up_blocks=layout.plain_up_blocks) or path
    return path


def kohya_path(layout: Layout, component: Component, native: str) -> str:
    """Return kohya's path of what the publisher's code calls ``native``."""
    if component.paths == "unet":
        return from_ldm(native) or native
    return native


def members(
    layout: Layout, component: Component, path: str, *, rows: int, inputs: int
) -> tuple[MemberPlace, ...]:
    """Return the modules of diffusers that make up the module with kohya's ``path``.

    ``rows`` and ``inputs`` are the sizes of its weight: from them follows how several share the rows.
    """
    if component.paths == "ldm unet":
        return (MemberPlace(from_ldm(path) or path),)
    if component.paths != "blocks":
        return (MemberPlace(path),)
    if layout.outside and path in layout.outside:
        member = layout.outside[path]
        return (MemberPlace(member, halves_swapped=member == LAST_MODULATION),)
    found = _stacked(layout.family).get(_numberless(path), ())
    if not found:
        return (MemberPlace(path),)
    number = next(step for step in path.split(".") if step.isdigit())
    paths = [template.format(number) for template in found]
    if len(paths) == 1:
        # The last block forgets its text and has a scale and a shift only, in the other order.
        swapped = path.endswith(_CONTEXT_MODULATION) and rows == 2 * inputs
        return (MemberPlace(paths[0], halves_swapped=swapped),)
    # q, k and v have as many rows as inputs; what comes after them in one layer has the rest.
    each = rows // 3 if len(paths) == 3 else inputs
    ends = [each, 2 * each, 3 * each, rows][: len(paths)]
    begins = [0, *ends[:-1]]
    return tuple(
        MemberPlace(member, slice(begin, end)) for member, begin, end in zip(paths, begins, ends, strict=True)
    )


def owner_of(layout: Layout, component: Component, member: str) -> tuple[str, int, int]:
    """Return kohya's path of the module with diffusers' ``member``, its place there, and of how many."""
    if component.paths == "ldm unet":
        return to_ldm(member, plain_up_blocks=layout.plain_up_blocks) or member, 0, 1
    if component.paths != "blocks":
        return member, 0, 1
    for native, ours in (layout.outside or {}).items():
        if ours == member:
            return native, 0, 1
    number = next((step for step in member.split(".") if step.isdigit()), "")
    native, place, count = _owners(layout.family).get(_numberless(member), (member, 0, 1))
    return native.replace("#", number, 1), place, count


@cache
def _owners(family: str) -> dict[str, tuple[str, int, int]]:
    """Return what `owner_of` says, with "#" for a block's number."""
    return {
        template.format("#"): (native, place, len(templates))
        for native, templates in _stacked(family).items()
        for place, template in enumerate(templates)
    }


@cache
def _stacked(family: str) -> dict[str, tuple[str, ...]]:
    """Return the modules of diffusers in order of rows by their path in files, "#" for a block's number."""
    found: dict[str, dict[int, str]] = {}
    for kind in LAYOUTS[family].blocks:
        for ours, place in kind.modules.items():
            found.setdefault(f"{kind.native}.#.{place.path}", {})[place.row] = f"{kind.ours}.{{}}.{ours}"
    return {native: tuple(rows[row] for row in sorted(rows)) for native, rows in found.items()}


def _numberless(path: str) -> str:
    blocks, _, rest = path.partition(".")
    number, dot, inside = rest.partition(".")
    return f"{blocks}.#.{inside}" if dot and number.isdigit() else path
