"""What training sees of an adapter: its parameters, its tensors, and switching it on and off."""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager

import torch
from torch import Tensor, nn

from lora_widgets.adapters.dropout import DropoutClock
from lora_widgets.adapters.keys import canonical_key
from lora_widgets.adapters.lora import LoRAModule
from lora_widgets.errors import StateError

Modules = Mapping[str, Sequence[LoRAModule]]


class Adapter:
    """The trainable modules of a run by component ("unet", "text_encoder"), in place of the base model's."""

    def __init__(self, modules: Modules, *, clock: DropoutClock) -> None:
        self._modules, self._clock = modules, clock
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
        """Return what the optimizer updates, by component and then by name, such as "... .lora_up"."""
        return {
            name: {f"{m.name}.{key}": p for m in group for key, p in m.named_parameters()}
            for name, group in self._modules.items()
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

    def tensors(self) -> dict[str, Tensor]:
        """Return the adapter's tensors by their names in files; they share memory with what trains."""
        found: dict[str, Tensor] = {}
        for module in self._all():
            found |= _named(module)
        return found

    def load_tensors(self, tensors: Mapping[str, Tensor], *, source: str) -> tuple[str, ...]:
        """Take over weights; returns a sentence for each thing in ``source`` or here that found no partner.

        A file made with another alpha keeps its effect: its ``lora_up`` is scaled by the ratio of the alphas.

        Raises:
            StateError: nothing in ``source`` fits, or a tensor has another shape; nothing is changed then.
        """
        theirs = {self._own_key(canonical_key(key)): tensor for key, tensor in tensors.items()}
        matched = [m for m in self._all() if _keys(m)[0] in theirs and _keys(m)[1] in theirs]
        if not matched:
            raise StateError(
                f"No weight of {source} matches this adapter, which needs names like "
                f"{_keys(next(self._all()))[0]}. Choose a LoRA that was trained on the same model family "
                "and parts."
            )
        for module in matched:
            _check_shapes(module, theirs, source)
        for module in matched:
            _take_over(module, theirs)
        return self._unmatched(theirs, matched, source)

    def _own_key(self, key: str) -> str:
        """Return our name of a tensor that is called by another name of its module."""
        name, dot, tensor = key.partition(".")
        return f"{self._other_names.get(name, name)}{dot}{tensor}"

    def _unmatched(
        self, theirs: Mapping[str, Tensor], matched: list[LoRAModule], source: str
    ) -> tuple[str, ...]:
        used = {key for module in matched for key in _keys(module)}
        unused = {key.partition(".")[0] for key in theirs if key not in used}
        fresh = [m.name for m in self._all() if _keys(m)[0] not in used]
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

    def _all(self) -> Iterator[LoRAModule]:
        for group in self._modules.values():
            yield from group


def _keys(module: LoRAModule) -> tuple[str, str, str]:
    return f"{module.name}.lora_down.weight", f"{module.name}.lora_up.weight", f"{module.name}.alpha"


def _named(module: LoRAModule) -> dict[str, Tensor]:
    values = module.lora_down.detach(), module.lora_up.detach(), module.alpha
    return dict(zip(_keys(module), values, strict=True))


def _check_shapes(module: LoRAModule, theirs: Mapping[str, Tensor], source: str) -> None:
    for key, ours in list(_named(module).items())[:2]:
        shape = theirs[key].shape
        if shape == ours.shape:
            continue
        rank = theirs[_keys(module)[0]].shape[0]
        if rank != module.rank:
            raise StateError(
                f"No weight of {source} matches this adapter: the file has dimension {rank}, but "
                f"`network_dim` is {module.rank}. Set `network_dim` to {rank} to continue from it."
            )
        raise StateError(
            f"{key} of {source} has shape {tuple(shape)}, but this base model needs {tuple(ours.shape)}. "
            "Choose a LoRA that was trained on the same model family."
        )


@torch.no_grad()
def _take_over(module: LoRAModule, theirs: Mapping[str, Tensor]) -> None:
    down, up, alpha = _keys(module)
    # A file without alpha means scale 1, which is alpha == rank.
    their_alpha = float(theirs[alpha]) if alpha in theirs else float(module.rank)
    own_alpha = float(module.alpha)
    module.lora_down.copy_(theirs[down])
    module.lora_up.copy_(theirs[up])
    if their_alpha != own_alpha:
        module.lora_up.mul_(their_alpha / own_alpha)
