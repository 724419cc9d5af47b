"""Filling a model that has no memory yet from weight files, tensor by tensor."""

from collections.abc import Iterable, Iterator

import torch
from torch import Tensor, nn

from lora_widgets.families.in_memory import give_back_pages
from lora_widgets.families.native_names import Names
from lora_widgets.families.stored_linear import StoredLinear, is_stored
from lora_widgets.families.weight_file import WeightFile

_GIVE_BACK_EVERY = 32 * 2**20
"""Bytes; with 128 MiB, an autoencoder of 167 MB took 239 MB while it was read into another format."""


def fill(
    model: nn.Module,
    files: Iterable[WeightFile],
    places: Names,
    *,
    device: torch.device | str,
    dtype: torch.dtype,
    stored_as: str,
) -> None:
    """Read the tensors of a model from where they are, in the order of the files."""
    inside: dict[str, list[str]] = {}
    for name, piece in places.items():
        inside.setdefault(piece.name, []).append(name)
    for file in files:
        for source, tensor in _with_room(file.read(inside.keys() & file.shapes.keys())):
            for name in inside[source]:
                _put(model, name, places[name].cut(tensor), device=device, dtype=dtype)
                store(model, name, stored_as)


def _with_room(tensors: Iterator[tuple[str, Tensor]]) -> Iterator[tuple[str, Tensor]]:
    """Pass tensors on, and give back now and then what their first forms took: it does not fit the next."""
    taken = 0
    for name, tensor in tensors:
        yield name, tensor
        taken += tensor.nbytes
        if taken >= _GIVE_BACK_EVERY:
            give_back_pages()
            taken = 0


def complete(model: nn.Module, device: torch.device | str) -> nn.Module:
    """Move the buffers that a model computes itself, which no file holds, and freeze it."""
    give_back_pages()
    for name, buffer in list(model.named_buffers()):
        if buffer.device != torch.device(device):
            _put(model, name, buffer, device=device, dtype=buffer.dtype)
    if hasattr(model, "tie_weights"):  # of two names for one tensor each got its own
        model.tie_weights()  # pyright: ignore[reportCallIssue]
    return model.requires_grad_(requires_grad=False).eval()


def _put(
    model: nn.Module, name: str, tensor: Tensor, *, device: torch.device | str, dtype: torch.dtype
) -> None:
    path, _, leaf = name.rpartition(".")
    owner = model.get_submodule(path)
    old = getattr(owner, leaf)
    kept = dtype if old.is_floating_point() else old.dtype
    value = tensor.reshape(old.shape).to(device, kept).contiguous()
    setattr(owner, leaf, nn.Parameter(value, requires_grad=False) if isinstance(old, nn.Parameter) else value)


def store(model: nn.Module, name: str, how: str) -> None:
    """Keep the weight of a linear layer in fewer bits once the layer is complete."""
    path, _, _ = name.rpartition(".")
    layer = model.get_submodule(path)
    if not is_stored(path, layer, how=how) or any(tensor.is_meta for tensor in layer.parameters()):
        return
    parent, _, leaf = path.rpartition(".")
    stored = StoredLinear(layer.weight, layer.bias, how=how)  # pyright: ignore[reportArgumentType]
    setattr(model.get_submodule(parent), leaf, stored)
