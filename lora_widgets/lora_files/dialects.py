"""Writing modules under the names of other programs; reading them is `lora_file.recognised`."""

from collections.abc import Mapping

from torch import Tensor

from lora_widgets.errors import ConfigError
from lora_widgets.lora_files.fusing import LOW_RANK, strength
from lora_widgets.lora_files.layouts import LAYOUTS, Component, Layout, members, native_path
from lora_widgets.lora_files.lora_file import Modules
from lora_widgets.lora_files.lowrank import without_core
from lora_widgets.lora_files.paths import dotted, flat


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
    """Return a module's matrices for each of its members, the strength multiplied into the second.

    Sizes that DoRA learns apart are one number for each row, so that members have their own.
    """
    _refuse_nameless(f"{component.kohya}_{flat(path)}", tensors)
    plain = without_core(tensors)
    down, up, sizes = (plain.get(key) for key in ("lora_down.weight", "lora_up.weight", "dora_scale"))
    assert down is not None
    assert up is not None
    # In float32, so that the one number more to multiply with costs no digits.
    up = (up.float() * strength(plain)).to(up.dtype)
    found: dict[str, Tensor] = {}
    for member in members(layout, component, path, rows=up.shape[0], inputs=down.shape[1]):
        own = {"lora_A.weight": down, "lora_B.weight": member.own(up).contiguous()}
        if sizes is not None:
            shape = (-1,) if up.dim() == 2 else (1, -1, 1, 1)  # as PEFT has it
            own["lora_magnitude_vector.weight"] = member.own(sizes).reshape(shape).contiguous()
        for place in component.places_in_diffusers(member.path):
            found |= {f"{place}.{key}": tensor for key, tensor in own.items()}
    return found


def _refuse_nameless(name: str, tensors: Mapping[str, Tensor]) -> None:
    """Make sure that a module is LoRA, or DoRA with a size for each row."""
    sizes, up = tensors.get("dora_scale"), tensors.get("lora_up.weight")
    if up is None or _others(tensors):
        other = min(_others(tensors), default="alpha")
        raise ConfigError(
            f"{name} has a tensor {other!r}, for which diffusers has no name: it reads LoRA, LoCon and DoRA "
            'only. Use the dialect "kohya" or "native", or make a LoRA of the file with the tool "resize".'
        )
    if sizes is not None and len(sizes) != len(up):
        raise ConfigError(
            f"{name} is DoRA with a size for each input, but diffusers has one for each output. Use the "
            'dialect "kohya" or "native", or make a LoRA of the file with the tool "resize".'
        )


def _others(tensors: Mapping[str, Tensor]) -> set[str]:
    """Return the names of tensors that neither LoRA nor DoRA has."""
    return tensors.keys() - LOW_RANK - {"lora_mid.weight", "dora_scale"}
