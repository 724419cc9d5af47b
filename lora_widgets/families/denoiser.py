"""The UNet of Stable Diffusion: loading and asking it; and recomputing the activations of any denoiser."""

from typing import TYPE_CHECKING

import torch
from torch import Tensor
from torch.utils.checkpoint import checkpoint

from lora_widgets.families.in_memory import let_checkpoints_act
from lora_widgets.families.parts import PartPlace

if TYPE_CHECKING:
    from diffusers.models.modeling_utils import ModelMixin
    from diffusers.models.unets.unet_2d_condition import UNet2DConditionModel


def load_unet(
    place: PartPlace, device: torch.device | str, dtype: torch.dtype, *, stored_as: str
) -> "UNet2DConditionModel":
    """Load the UNet, frozen; ``stored_as`` says how the weights of its large linear layers are kept."""
    return place.load(device=device, dtype=dtype, stored_as=stored_as)


def estimate(
    unet: "UNet2DConditionModel",
    noisy: Tensor,
    times: Tensor,
    *,
    hidden: Tensor,
    added: dict[str, Tensor] | None = None,
) -> Tensor:
    """Return the UNet's estimate (B, C, h, w); inputs take its dtype unless autocast is on.

    ``hidden`` (B, L, D) are the text's states, ``added`` what a UNet reads beside them, by diffusers' names.
    """
    if not torch.is_autocast_enabled(noisy.device.type):
        dtype = unet.conv_in.weight.dtype  # `unet.dtype` walks over all parameters
        noisy, hidden = noisy.to(dtype), hidden.to(dtype)
    return unet(
        noisy,
        times.to(noisy.device),
        encoder_hidden_states=hidden,
        added_cond_kwargs=added,
        return_dict=False,
    )[0]


def enable_checkpointing(model: "ModelMixin") -> None:
    """Recompute the activations of a denoiser's blocks in the backward pass."""
    # Our dropouts repeat their masks by themselves, so the global random state needs no saving.
    model.enable_gradient_checkpointing(
        lambda block, *inputs: checkpoint(
            block.__call__, *inputs, use_reentrant=False, preserve_rng_state=False
        )
    )
    let_checkpoints_act(model)
