"""The mathematics of LyCORIS' types (Yeh et al. 2023, arXiv:2309.14859): the one place that imports lycoris.

Its modules hold the parameters and compute the change of a weight. All else is ours: where a module attaches
and what it answers, start values from our own generator, dropout, files. So nothing of what fails in lycoris
4.1.3 is in use: class-wide presets that leak into the next network, weights taken off layers, a scale that
counts twice in a merge, parts that cannot be made from files.
"""

import logging
import math
import os
from collections.abc import Iterator, Mapping
from typing import Any

import torch
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode

# Its other backends compile kernels while training runs, and their numbers differ from those of a CPU.
os.environ.setdefault("LYCORIS_KERNEL_BACKEND", "torch")

from lycoris.modules.boft import ButterflyOFTModule
from lycoris.modules.diag_oft import DiagOFTModule
from lycoris.modules.full import FullModule
from lycoris.modules.glora import GLoRAModule
from lycoris.modules.ia3 import IA3Module
from lycoris.modules.locon import LoConModule
from lycoris.modules.loha import LohaModule
from lycoris.modules.lokr import LokrModule
from lycoris.modules.norms import NormModule

from lora_widgets.adapters.dropout import Dropout
from lora_widgets.adapters.part import Part, scale_of
from lora_widgets.adapters.place import operation_of
from lora_widgets.adapters.targets import Member, Target
from lora_widgets.errors import ModelError

logging.getLogger("LyCORIS").setLevel(logging.ERROR)  # it prints; what it has to say are findings of ours

_CLASSES: dict[str, type[Any]] = {
    "dora": LoConModule,
    "loha": LohaModule,
    "lokr": LokrModule,
    "glora": GLoRAModule,
    "ia3": IA3Module,
    "full": FullModule,
    "diag-oft": DiagOFTModule,
    "boft": ButterflyOFTModule,
    "norm": NormModule,
}
_ROTATIONS = ("diag-oft", "boft")
_WITHOUT_ALPHA = ("ia3", "full", "norm")
_NAMES_IN_FILES: dict[str, dict[str, str]] = {"full": {"weight": "diff", "bias": "diff_b"}}
_ZERO_AT_START = frozenset(
    {"lora_up.weight", "hada_w2_a", "lokr_w2", "lokr_w2_b", "a2.weight", "b2.weight", "weight"}
)
_NORMAL_AT_START = {
    **{"hada_w1_a": 0.1, "hada_w1_b": 1.0, "hada_t1": 0.1},
    **{"hada_w2_a": 0.1, "hada_w2_b": 1.0, "hada_t2": 0.1},
}
_GATES = {
    "dora": ("lora_up.weight",),
    "loha": ("hada_w1_a",),
    "lokr": ("lokr_w1", "lokr_w1_a"),
    "glora": ("a2.weight", "b2.weight"),
}
_LIMITED = {  # pairs of factors of one product, which share a scaling
    "dora": ("lora_up.weight", "lora_down.weight"),
    "loha": ("hada_w1_a", "hada_w1_b"),
    "lokr": ("lokr_w1", "lokr_w1_a"),
}


class _Unfilled(TorchFunctionMode):
    """Make parameters without values: drawing them would take from the generator that all threads share."""

    def __torch_function__(
        self, func: Any, types: Any, args: Any = (), kwargs: Mapping[str, Any] | None = None
    ) -> Any:
        """Call ``func``, but make what is left empty on the device that holds nothing."""
        del types
        return func(*args, **{**(kwargs or {}), **({"device": "meta"} if func is torch.empty else {})})


class _Base:
    """What lycoris asks of the layer that a module changes: its weight and bias, as they are at that time."""

    def __init__(self, target: Target) -> None:
        self._target = target

    @property
    def weight(self) -> Tensor:
        return self._target.weight()

    @property
    def bias(self) -> Tensor | None:
        return self._target.bias()


class LycorisMaths(nn.Module):
    """Add what the layer answers with the change of its weight in place of the weight, for one type."""

    def __init__(self, part: Part, dropout: Dropout, *, generator: torch.Generator) -> None:
        super().__init__()
        self._algorithm, self._dropout = part.algorithm, dropout
        self.inner: Any = _new_module(part)
        _fill(self.inner, part, generator)
        self.inner.org_module = [_Base(part.target)]
        self._operation = operation_of(part.target.layer)
        self._constraint, self._rank = part.options.constraint, part.rank
        self._scale, self._is_whole = float(getattr(self.inner, "scale", 1.0)), _is_whole(self.inner)
        self._names = _NAMES_IN_FILES.get(part.algorithm, {})
        self._gates = tuple(name for name in _GATES.get(part.algorithm, ()) if name in self.raw())

    def change(self, input: Tensor, member: Member) -> Tensor:
        """Return what ``member`` adds to its module's answer to ``input``."""
        weight, bias = self.weight_change()
        drops = self.training and self._dropout.is_on
        if drops:
            weight = self._dropout.of_rows(weight)
            bias = None if bias is None else self._dropout.of_rows(bias)
        own_bias = None if bias is None else member.own(bias)
        change = self._operation(input, member.own(weight), own_bias)
        return self._dropout.of_output(change) if drops else change

    def weight_change(self) -> tuple[Tensor, Tensor | None]:
        """Return the change of the target's weight and bias, as files stack them."""
        inner = self.inner
        match self._algorithm:
            case "full":
                return inner.weight, inner.bias
            case "norm":
                return inner.w_norm, getattr(inner, "b_norm", None)
            case "glora":
                return inner.make_weight(), None
            case "ia3" | "diag-oft" | "boft":
                return inner.make_weight(diff=True), None
            case _:
                return self._with_decomposition(self._product()), None

    def raw(self) -> dict[str, Tensor]:
        """Return the parameters by their names in files."""
        parameters: Iterator[tuple[str, Tensor]] = self.inner.named_parameters()
        return {self._names.get(name, name): value for name, value in parameters}

    def tensors(self) -> dict[str, Tensor]:
        """Return what a file holds; shared with what trains, except where a gate is multiplied in."""
        found = {name: value.detach() for name, value in self.raw().items()}
        if (gate := found.pop("scalar", None)) is not None:
            for name in self._gates:
                found[name] = found[name] * gate
        if self._algorithm == "ia3":
            found["on_input"] = torch.tensor(int(self.inner.train_input))
        if self._algorithm not in _WITHOUT_ALPHA:
            # The field's readers take the limit of a rotation from here, and for others alpha / rank.
            is_limit = self._algorithm in _ROTATIONS
            found["alpha"] = torch.tensor(self._constraint if is_limit else self._scale * self._rank)
        return found

    @torch.no_grad()
    def take(self, theirs: Mapping[str, Tensor]) -> None:
        """Take over what a file holds; one of another alpha keeps its effect."""
        raw = self.raw()
        if (gate := raw.pop("scalar", None)) is not None:
            gate.fill_(1)  # files have it multiplied in
        for name, value in raw.items():
            value.copy_(theirs[name])
        if self._gates and not self._is_whole:
            for name in self._gates:
                raw[name].mul_(scale_of(theirs, rank=self._rank) / self._scale)

    @torch.no_grad()
    def limit_norm(self, limit: float) -> None:
        """Scale the product down to a norm of at most ``limit``; other types than products have none."""
        names = [name for name in _LIMITED.get(self._algorithm, ()) if name in self.raw()]
        if not names:
            return
        norm = float(self._product().norm())
        if norm > limit:
            raw = self.raw()
            for name in names:
                raw[name].mul_((limit / norm) ** (1 / len(names)))

    def _product(self) -> Tensor:
        inner = self.inner
        if self._algorithm == "dora":
            return inner.make_weight() * inner.scale
        return inner.get_weight(inner.shape) * inner.scalar

    def _with_decomposition(self, product: Tensor) -> Tensor:
        """Turn a change of the weight into that of its direction, with a size of its own (DoRA)."""
        inner = self.inner
        if not inner.wd:
            return product
        weight = inner.org_weight
        return inner.apply_weight_decompose(weight + product) - weight


def _new_module(part: Part) -> Any:
    """Make lycoris' module of a part; its parameters are empty, except sizes taken from the weights."""
    options = part.options
    try:
        with _Unfilled():
            return _CLASSES[part.algorithm](
                part.target.name,
                _stand_in(part.target),
                lora_dim=part.rank,
                alpha=part.alpha,
                factor=options.factor,
                use_tucker=options.use_tucker,
                use_scalar=options.use_scalar,
                rs_lora=options.rs_lora,
                weight_decompose=options.dora_wd,
                wd_on_out=options.wd_on_output,
                decompose_both=options.decompose_both,
                full_matrix=options.full_matrix,
                unbalanced_factorization=options.unbalanced_factorization,
                constraint=options.constraint,
                rescaled=options.rescaled,
                train_on_input=options.train_on_input,
                bypass_mode=False,
            )
    except ValueError as error:  # butterflies need a size that is an even factor times a power of 2
        raise ModelError(
            f"`network_dim` is {part.rank}, but {part.target.name} has {part.target.num_rows} outputs, which "
            "BOFT cannot divide into blocks of that size. Raise `network_dim`: 10 is enough for SD1.5 and "
            "SDXL, 18 for Flux and SD3."
        ) from error


def _is_whole(module: Any) -> bool:
    """Say whether a module is a product of two matrices of which none is decomposed."""
    return getattr(module, "use_w1", False) and getattr(module, "use_w2", False)


def _stand_in(target: Target) -> nn.Module:
    """Return a layer of the shape of the whole target, with its weights."""
    layer, bias = target.layer, target.bias()
    made: Any
    sizes: Any  # torch's annotations of them do not fit its own constructors
    has_bias = bias is not None
    match layer:
        case nn.Linear():
            made = nn.Linear(layer.in_features, target.num_rows, bias=has_bias)
        case nn.Conv2d():
            sizes = layer.kernel_size, layer.stride, layer.padding
            made = nn.Conv2d(layer.in_channels, target.num_rows, *sizes, bias=has_bias)
        case nn.LayerNorm():
            sizes = layer.normalized_shape
            made = nn.LayerNorm(sizes, eps=layer.eps, bias=has_bias)
        case _:
            made = nn.GroupNorm(layer.num_groups, layer.num_channels, eps=layer.eps)
    made.weight = nn.Parameter(target.weight(), requires_grad=False)
    made.bias = None if bias is None else nn.Parameter(bias, requires_grad=False)
    return made


def _fill(module: Any, part: Part, generator: torch.Generator) -> None:
    """Give a module its start values: those of lycoris, but drawn from ``generator``."""
    device = part.target.layer.weight.device
    is_gated = "scalar" in dict(module.named_parameters())
    if _is_whole(module):
        module.scale = 1.0  # what readers take for two whole matrices; they know no rank
    if part.algorithm == "full":
        module._org_weight = module.org_bias = None  # a copy of the base's, on the CPU
    for name, value in list(module.named_parameters()):
        start = _start(name, value.shape, is_gated, generator) if value.is_meta else value.detach()
        owner, _, leaf = name.rpartition(".")
        setattr(module.get_submodule(owner), leaf, nn.Parameter(start.to(device)))
    module.to(device)


def _start(name: str, shape: torch.Size, is_gated: bool, generator: torch.Generator) -> Tensor:  # noqa: FBT001
    """Return the start value of a parameter; where a gate starts at zero, the product must not."""
    value = torch.zeros(shape, device=generator.device)
    if name in _ZERO_AT_START and not is_gated:
        return value
    if name in _NORMAL_AT_START:
        return value.normal_(std=_NORMAL_AT_START[name], generator=generator)
    return nn.init.kaiming_uniform_(value, a=math.sqrt(5), generator=generator)
