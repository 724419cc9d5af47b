"""What training sees of an adapter: its parameters, its tensors, and switching it on and off."""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager

import torch
from torch import Tensor, nn

from lora_widgets.adapters.adapted import AdaptedTarget
from lora_widgets.adapters.dropout import DropoutClock
from lora_widgets.adapters.keys import canonical_key
from lora_widgets.adapters.matching import check_layer, refuse_all
from lora_widgets.errors import StateError

Modules = Mapping[str, Sequence[AdaptedTarget]]


class Adapter:
    """The trainable modules of a run by component ("unet", "text_encoder"), in place of the base model's.

    ``notes`` are sentences for the user about how sizes and layers go together.
    """

    def __init__(self, modules: Modules, *, clock: DropoutClock, notes: tuple[str, ...] = ()) -> None:
        self._modules, self._clock, self.notes = modules, clock, notes
        self._in_place = False
        self._other_names = {other: module.name for module in self._all() for other in module.other_names}
        self.mode(training=True)

    def put_in_place(self) -> None:
        """Let the base model answer with the adapter's change."""
        self._in_place = True
        for module in self._all():
            module.put_in_place()

    def detach(self) -> None:
        """Restore the base model exactly; calling it twice does no harm."""
        self._in_place = False
        for module in self._all():
            module.take_out()

    @contextmanager
    def disabled(self) -> Iterator[None]:
        """Let the base model answer alone, exactly as without an adapter."""
        was_in_place = self._in_place
        self.detach()
        try:
            yield
        finally:
            if was_in_place:
                self.put_in_place()

    def named_parameters_of(self) -> dict[str, dict[str, nn.Parameter]]:
        """Return what the optimizer updates by component and name, in which ``lora_up`` marks up matrices."""
        return {
            component: {f"{m.name}.{name}": p for m in group for name, p in m.maths.named_parameters()}
            for component, group in self._modules.items()
        }

    def parameters_of(self) -> dict[str, list[nn.Parameter]]:
        """Return what the optimizer updates, by component."""
        return {name: list(named.values()) for name, named in self.named_parameters_of().items()}

    def counts(self) -> dict[str, int]:
        """Return how many modules are adapted, by component."""
        return {name: len(group) for name, group in self._modules.items()}

    def num_parameters(self) -> dict[str, int]:
        """Return how many numbers are trained, by component."""
        return {name: sum(p.numel() for p in group) for name, group in self.parameters_of().items()}

    def set_position(self, step: int, micro_step: int) -> None:
        """Say which micro-step comes next, both counted from 0: dropout is a function of it."""
        self._clock.set_position(step, micro_step)

    def mode(self, training: bool) -> None:  # noqa: FBT001
        """Switch dropout on (training) or off (samples)."""
        for module in self._all():
            module.train(training)

    def to(self, device: torch.device | str) -> None:
        """Move the weights; the optimizer's view of them stays valid."""
        for module in self._all():
            module.to(device)

    def limit_norms(self, limit: float) -> None:
        """Scale down what exceeds ``limit`` in the norm of a layer's change, where the type is a product."""
        for module in self._all():
            module.maths.limit_norm(limit)

    def tensors(self) -> dict[str, Tensor]:
        """Return the adapter's tensors by their names in files; most share memory with what trains."""
        return {f"{m.name}.{name}": value for m in self._all() for name, value in m.maths.tensors().items()}

    def state(self) -> dict[str, Tensor]:
        """Return what trains, exactly: files multiply some of it together."""
        return {
            f"{m.name}.{name}": value.detach() for m in self._all() for name, value in m.maths.raw().items()
        }

    @torch.no_grad()
    def load_state(self, state: Mapping[str, Tensor], *, source: str) -> None:
        """Take over what ``state`` returned.

        Raises:
            StateError: it is of an adapter with other layers or sizes; nothing is changed then.
        """
        own = self.state()
        if own.keys() != state.keys() or any(own[key].shape != state[key].shape for key in own):
            raise StateError(
                f"The state {source} is of an adapter with other layers or sizes. Resume with the "
                "settings of the tab LoRA and the learning rates with which it was made."
            )
        for key, value in own.items():
            value.copy_(state[key])

    def load_tensors(self, tensors: Mapping[str, Tensor], *, source: str) -> tuple[str, ...]:
        """Take over weights; returns a sentence for each thing in ``source`` or here that found no partner.

        A file made with another alpha keeps its effect.

        Raises:
            StateError: nothing in ``source`` fits, or a tensor has another shape; nothing is changed then.
        """
        theirs: dict[str, dict[str, Tensor]] = {}
        for key, tensor in tensors.items():
            name, _, tensor_name = self._own_key(canonical_key(key)).partition(".")
            theirs.setdefault(name, {})[tensor_name] = tensor
        matched = [m for m in self._all() if m.name in theirs]
        for module in matched:
            check_layer(module, theirs[module.name], source=source)
        if not matched:
            raise refuse_all(next(self._all()), source=source)
        for module in matched:
            module.maths.take(theirs[module.name])
        return self._unmatched(set(theirs), {module.name for module in matched}, source)

    def _own_key(self, key: str) -> str:
        """Return our name of a tensor that is called by another name of its module."""
        name, dot, tensor = key.partition(".")
        return f"{self._other_names.get(name, name)}{dot}{tensor}"

    def _unmatched(self, theirs: set[str], used: set[str], source: str) -> tuple[str, ...]:
        unused, fresh = theirs - used, [m.name for m in self._all() if m.name not in used]
        notes = []
        if unused:
            notes.append(
                f"{len(unused)} modules of {source} are not used, because this adapter does not have them "
                f"(for example {min(unused)})."
            )
        if fresh:
            notes.append(
                f"{len(fresh)} modules start fresh, because {source} lacks them (for example {fresh[0]})."
            )
        return tuple(notes)

    def _all(self) -> Iterator[AdaptedTarget]:
        for group in self._modules.values():
            yield from group
