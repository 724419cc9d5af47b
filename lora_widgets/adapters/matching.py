"""Whether the tensors of a file fit a layer of an adapter, and what to say where they do not."""

from collections.abc import Mapping

from torch import Tensor

from lora_widgets.adapters.adapted import AdaptedTarget
from lora_widgets.adapters.weight_change import rank_of, type_of
from lora_widgets.errors import StateError

_ROTATIONS = ("diag-oft", "boft")


def check_layer(module: AdaptedTarget, theirs: Mapping[str, Tensor], *, source: str) -> None:
    """Refuse tensors of one layer, without prefix, that are of another type, size or limit.

    Raises:
        StateError: they do not fit.
    """
    ours = module.maths.tensors()
    missing = [name for name in ours if name not in theirs and name not in ("alpha", "on_input")]
    if missing:
        kind = type_of(theirs)
        raise StateError(
            f"No weight of {source} matches this adapter: at {module.name} the file has "
            f"{kind or ', '.join(sorted(theirs))}, but the adapter needs {', '.join(missing)}. Set "
            f"`lora_type`{f' to {kind}' if kind not in (None, 'norm') else ''} and its options as they were "
            "for that file."
        )
    _check_shapes(module, ours, theirs, source)
    limit = module.part.options.constraint
    theirs_limit = float(theirs["alpha"]) if "alpha" in theirs else 0.0
    if module.part.algorithm in _ROTATIONS and abs(theirs_limit - limit) > 1e-6 * max(limit, theirs_limit):
        raise StateError(
            f"{source} was made with `constraint` {theirs_limit:g}, but it is {limit:g}, which would bend "
            f"what the file does. Set `constraint` to {theirs_limit:g}."
        )


def refuse_all(module: AdaptedTarget, *, source: str) -> StateError:
    """Return the error for a file of which no layer is known."""
    needed = f"{module.name}.{next(iter(module.maths.tensors()))}"
    return StateError(
        f"No weight of {source} matches this adapter, which needs names like {needed}. Choose a LoRA that "
        "was trained on the same model family and parts."
    )


def _check_shapes(
    module: AdaptedTarget, ours: Mapping[str, Tensor], theirs: Mapping[str, Tensor], source: str
) -> None:
    for name, tensor in ours.items():
        if name in ("alpha", "on_input") or theirs[name].shape == tensor.shape:
            continue
        rank, setting = rank_of(theirs), "conv_dim" if module.part.target.has_kernel else "network_dim"
        if rank is not None and rank != rank_of(ours):
            raise StateError(
                f"No weight of {source} matches this adapter: the file has dimension {rank}, but `{setting}` "
                f"is {module.part.rank}. Set `{setting}` to {rank} to continue from it, or turn "
                "`dim_from_weights` on."
            )
        raise StateError(
            f"{module.name}.{name} of {source} has shape {tuple(theirs[name].shape)}, but this base model "
            f"needs {tuple(tensor.shape)}. Choose a LoRA that was trained on the same model family and with "
            "the same options."
        )
