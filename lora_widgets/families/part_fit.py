"""Whether files hold the tensors that a model asks for, by name and size: their headers tell."""

from collections.abc import Mapping
from dataclasses import dataclass
from math import prod
from typing import Any

from torch import nn

from lora_widgets.families.native_names import Names, present_name


@dataclass(frozen=True)
class Fit:
    """Where each tensor of a model is, and what is wrong with those that are nowhere.

    ``missing`` are the shapes of tensors that no file holds, ``misshapen`` says of the others how large they
    are and should be.
    """

    places: Names
    missing: Mapping[str, tuple[int, ...]]
    misshapen: tuple[str, ...]

    @property
    def wrong(self) -> tuple[str, ...]:
        """All that is wrong, as clauses."""
        return (*(f"{name} is missing" for name in self.missing), *self.misshapen)


def fit_of(model: nn.Module, found: Names) -> Fit:
    """Look for each tensor of ``model`` among those found, which have the names of the present classes.

    Of tensors that are one in the model, one in the files is enough.
    """
    aliases, places = _aliases(model), Names()
    missing: dict[str, tuple[int, ...]] = {}
    misshapen: list[str] = []
    for name, tensor in model.state_dict().items():
        wanted = tuple(tensor.shape)
        piece = next((found[known] for known in _known_names(name, aliases) if known in found), None)
        if piece is None:
            missing[name] = wanted
        elif not _fits(piece.shape, wanted):
            misshapen.append(f"{piece.name} is {_sizes(piece.shape)}, not {_sizes(wanted)}")
        else:
            places[name] = piece
    return Fit(places, missing, tuple(misshapen))


def cannot_be_renamed(fit: Fit, found: Names) -> tuple[str, ...]:
    """Return what is wrong whatever a library may call the tensors that the model does not know.

    Libraries read names of older versions too. A tensor that is missing can only be one of those when its
    size is among theirs.
    """
    taken = {piece.name for piece in fit.places.values()}
    spare = {piece.shape for piece in found.values() if piece.name not in taken}
    lost = (f"{name} is missing" for name, shape in fit.missing.items() if shape not in spare)
    return (*lost, *fit.misshapen)


def _known_names(name: str, aliases: Mapping[str, tuple[str, ...]]) -> tuple[str, ...]:
    return tuple(present_name(alias) for alias in aliases.get(name, (name,)))


def _aliases(model: Any) -> dict[str, tuple[str, ...]]:
    """Return all names of each parameter, for those that have several: two embeddings can be one."""
    if hasattr(model, "tie_weights"):
        model.tie_weights()
    names: dict[int, list[str]] = {}
    for name, parameter in model.named_parameters(remove_duplicate=False):
        names.setdefault(id(parameter), []).append(name)
    return {name: tuple(same) for same in names.values() if len(same) > 1 for name in same}


def _fits(found: tuple[int, ...], wanted: tuple[int, ...]) -> bool:
    """Tell whether two shapes are one but for sizes of 1 at the end: 1 x 1 convolutions and linear layers."""
    while len(found) > len(wanted) and found[-1] == 1:
        found = found[:-1]
    return found == wanted and prod(found) == prod(wanted)


def _sizes(shape: tuple[int, ...]) -> str:
    return " x ".join(map(str, shape))
