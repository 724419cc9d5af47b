"""Standing in for a module of the base model, and giving it back exactly as it was."""

from collections.abc import Callable
from functools import partial
from typing import Any

from torch import Tensor, nn
from torch.nn import functional

from lora_widgets.adapters.targets import Layer, Member


class Place:
    """A module whose ``forward`` can be taken over by ``answer``; it is not changed in any other way.

    What stands there is a method of the place, not a closure: to torch.compile all closures differ, so each
    of equal layers would be compiled anew.
    """

    def __init__(self, member: Member, answer: "Callable[[Place, Tensor], Tensor]") -> None:
        self.member = member
        self.base_forward: Callable[[Tensor], Tensor] = member.module.forward
        self._answer = answer
        self._replaced = member.module.__dict__.get("forward")  # another library's wrapper, to be put back

    def take(self) -> None:
        """Answer for the module from now on."""
        self.member.module.forward = self.forward  # pyright: ignore[reportAttributeAccessIssue]

    def forward(self, input: Tensor) -> Tensor:
        """Return what stands in for the module's own answer."""
        return self._answer(self, input)

    def give_back(self) -> None:
        """Let the module answer for itself again; calling it twice does no harm."""
        if self._replaced is None:
            self.member.module.__dict__.pop("forward", None)  # the class's method shows again
        else:
            self.member.module.forward = self._replaced


def operation_of(layer: Layer) -> Callable[..., Tensor]:
    """Return what a layer does with (input, weight, bias), which is linear in weight and bias.

    So what it does with a change of both is the change of its answer.
    """
    match layer:
        case nn.Linear():
            return functional.linear
        case nn.Conv2d():
            sizes: dict[str, Any] = {"stride": layer.stride, "padding": layer.padding}
            return partial(functional.conv2d, **sizes, dilation=layer.dilation)
        case nn.LayerNorm():

            def layer_norm(input: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
                return functional.layer_norm(input, layer.normalized_shape, weight, bias, layer.eps)

            return layer_norm
        case nn.GroupNorm():

            def group_norm(input: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
                return functional.group_norm(input, layer.num_groups, weight, bias, layer.eps)

            return group_norm
