"""Whether a saved file does what the adapter does: its changes rebuilt and asked the same questions."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor, nn

from lora_widgets.adapters.adapted import AdaptedTarget
from lora_widgets.adapters.adapter import Adapter
from lora_widgets.adapters.keys import read_lora_file
from lora_widgets.adapters.place import operation_of
from lora_widgets.adapters.targets import Layer
from lora_widgets.adapters.weight_change import weight_change
from lora_widgets.errors import TrainingError
from lora_widgets.lora_files.lora_file import recognised

_QUESTIONS, _SIDE = 2, 5
_ARITHMETIC = 1e-3
"""What another order of the same sums may cost."""
_ARITHMETIC_OF_THE_WHOLE = 5e-6
"""The same where the change is a difference of two whole weights, as a share of them."""
_PER_ROUNDING = 8.0
"""How much more of a change than of one of its factors rounding may take: factors cancel in part."""
_MAKES_A_WHOLE_WEIGHT = {"dora_scale", "oft_blocks"}
"""Tensors of types that turn or scale the whole weight, of which the change is a small part."""


@dataclass(frozen=True)
class _Answers:
    """What the adapter and the file add to a module's answers, and how far apart rounding may put them."""

    live: Tensor
    saved: Tensor
    tolerance: float

    @property
    def differ(self) -> bool:
        """Say whether they are further apart."""
        return not bool((self.live - self.saved).norm() <= self.tolerance)


@torch.no_grad()
def refuse_other_effect(path: Path, adapter: Adapter, *, family: str, dtype: torch.dtype) -> None:
    """Make sure that a file, whatever its dialect, changes each module's answers as the adapter does.

    Raises:
        TrainingError: modules are missing, too many, or have another effect; the text names one.
    """
    modules = recognised(*read_lora_file(path), family=family).modules
    live = {module.name: module for module in adapter.layers()}
    if unlike := sorted(live.keys() ^ modules.keys()):
        raise _wrong(path, f"{unlike[0]} is only in the {'adapter' if unlike[0] in live else 'file'}")
    adapter.mode(training=False)
    try:
        for name, module in live.items():
            with _in_full_precision(module):
                answered = list(_asked(module, modules[name], dtype))
            for answers in answered:
                if answers.differ:
                    apart = float(
                        (answers.live - answers.saved).norm() / answers.live.norm().clamp_min(1e-30)
                    )
                    raise _wrong(path, f"what it does at {name} differs by {apart:.1%} from what was trained")
    finally:
        adapter.mode(training=True)


@contextmanager
def _in_full_precision(module: AdaptedTarget) -> Iterator[None]:
    """Let an adapter in half precision compute in float32: its values are the same there and back."""
    own = module.dtype
    if own is torch.float32:
        yield
        return
    module.float()
    try:
        yield
    finally:
        module.to(own)


def _asked(module: AdaptedTarget, tensors: Mapping[str, Tensor], dtype: torch.dtype) -> Iterator[_Answers]:
    """Ask each layer of a module the same questions with the adapter and with the file."""
    target = module.part.target
    weight = target.weight()
    on_device = {key: tensor.to(weight.device) for key, tensor in tensors.items()}
    change, bias = weight_change(on_device, weight)
    lost = sum(_lost(tensor, dtype) for tensor in module.maths.tensors().values())
    for member in target.members:
        question = _question(member.module).to(weight.device)
        live = module.maths.change(question, member)
        operation = operation_of(member.module)
        saved = operation(question, member.own(change), None if bias is None else member.own(bias))
        tolerance = (_ARITHMETIC + _PER_ROUNDING * lost) * float(live.norm())
        if tensors.keys() & _MAKES_A_WHOLE_WEIGHT:
            whole = operation(question, member.own(weight), None)
            tolerance += (_ARITHMETIC_OF_THE_WHOLE + _PER_ROUNDING * lost) * float(whole.norm())
        yield _Answers(live, saved, tolerance)


def _lost(tensor: Tensor, dtype: torch.dtype) -> float:
    """Return the share of a tensor's norm that the number format of the file takes."""
    norm = float(tensor.float().norm())
    return float((tensor.to(dtype).float() - tensor.float()).norm()) / norm if norm else 0.0


def _question(layer: Layer) -> Tensor:
    """Return the same input for the same layer, always."""
    generator = torch.Generator().manual_seed(0)
    match layer:
        case nn.Linear():
            shape = (_QUESTIONS, layer.in_features)
        case nn.Conv2d():
            shape = (_QUESTIONS, layer.in_channels, _SIDE, _SIDE)
        case nn.LayerNorm():
            shape = (_QUESTIONS, *layer.normalized_shape)
        case nn.GroupNorm():
            shape = (_QUESTIONS, layer.num_channels, _SIDE, _SIDE)
    return torch.randn(shape, generator=generator)


def _wrong(path: Path, what: str) -> TrainingError:
    return TrainingError(
        f"{path} was written, but does not do what the adapter does: {what}. Do not use it. The state beside "
        'it holds the training: resume it with `save_dialect` "kohya", and please report this.'
    )
