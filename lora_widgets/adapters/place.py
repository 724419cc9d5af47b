"""Standing in for a module of the base model, and giving it back exactly as it was."""

from collections.abc import Callable

from torch import Tensor

from lora_widgets.adapters.targets import Member


class Place:
    """A module whose ``forward`` can be taken over; it is not changed in any other way."""

    def __init__(self, member: Member) -> None:
        self.member = member
        self.base_forward: Callable[[Tensor], Tensor] = member.module.forward
        self._replaced = member.module.__dict__.get("forward")  # another library's wrapper, to be put back

    def take(self, forward: Callable[[Tensor], Tensor]) -> None:
        """Let ``forward`` answer for the module from now on."""
        self.member.module.forward = forward  # pyright: ignore[reportAttributeAccessIssue]

    def give_back(self) -> None:
        """Let the module answer for itself again; calling it twice does no harm."""
        if self._replaced is None:
            self.member.module.__dict__.pop("forward", None)  # the class's method shows again
        else:
            self.member.module.forward = self._replaced
