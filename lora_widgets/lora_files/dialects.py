"""Writing modules under the names of other programs; reading them is `lora_file.recognised`."""

from collections.abc import Mapping

import torch
from torch import Tensor

from lora_widgets.errors import ConfigError
from lora_widgets.lora_files.fusing import LOW_RANK, strength
from lora_widgets.lora_files.layouts import LAYOUTS, Component, Layout, members, native_path
from lora_widgets.lora_files.lora_file import Modules
from lora_widgets.lora_files.paths import dotted


def grouped(tensors: Mapping[str, Tensor]) -> dict[str, dict[str, Tensor]]:
    """Return tensors by kohya's keys as modules."""
    modules: dict[str, dict[str, Tensor]] = {}
    for key, tensor in tensors.items():
        name, _, own = key.partition(".")
        modules.setdefault(name, {})[own] = tensor
    return modules


def in_dialect(modules: Modules, dialect: str, *, family: str) -> dict[str, Tensor]:
    """Return the tensors of ``modules``, which have kohya's names, as a file in ``dialect`` has them.

    Raises:
        ConfigError: a module has tensors for which the dialect has no names.
    """
    if dialect == "kohya":
        return {f"{name}.{key}": t for name, tensors in modules.items() for key, t in tensors.items()}
    layout, found = LAYOUTS[family], {}
    for name, tensors in modules.items():
        component = next(c for c in layout.components if name.startswith(f"{c.kohya}_"))
        path = dotted(name.removeprefix(f"{component.kohya}_"))
        if dialect == "native":
            place = f"{component.comfy}.{native_path(layout, component, path)}"
            found |= {f"{place}.{key}": tensor for key, tensor in tensors.items()}
        else:
            found |= _for_diffusers(layout, component, path, tensors)
    return found


def _for_diffusers(
    layout: Layout, component: Component, path: str, tensors: dict[str, Tensor]
) -> dict[str, Tensor]:
    """Return a module's matrices for each of its members, the strength multiplied into the second."""
    if not LOW_RANK >= tensors.keys() >= LOW_RANK - {"alpha"}:
        other = min(tensors.keys() - LOW_RANK)
        raise ConfigError(
            f"{component.kohya}_{path.replace('.', '_')} has a tensor {other!r}, for which diffusers has no "
            'name: it reads LoRA and LoCon only. Use the dialect "kohya" or "native".'
        )
    down, up = tensors["lora_down.weight"], tensors["lora_up.weight"]
    # In float32, so that the one number more to multiply with costs no digits.
    up = (up.float() * strength(tensors)).to(up.dtype)
    found = {}
    for member in members(layout, component, path, rows=up.shape[0], inputs=down.shape[1]):
        rows = up if member.rows is None else up[member.rows]
        if member.halves_swapped:
            rows = torch.roll(rows, len(rows) // 2, 0)
        found[f"{component.diffusers}.{member.path}.lora_A.weight"] = down
        found[f"{component.diffusers}.{member.path}.lora_B.weight"] = rows.contiguous()
    return found
