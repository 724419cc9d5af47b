"""Stable Diffusion 1.5: one CLIP text encoder, a UNet over latents (Rombach et al., arXiv:2112.10752)."""

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from lora_widgets.catalog.text_paths import clip_path
from lora_widgets.families import clip_text, denoiser
from lora_widgets.families.autoencoder import Autoencoder
from lora_widgets.families.family import Root, TextEmbedding
from lora_widgets.families.in_memory import free_memory, loaded
from lora_widgets.families.noise_schedule import noise_process, notes_on_schedule
from lora_widgets.families.sd_layout import Layout, read_layout
from lora_widgets.families.text_encoder import TextEncoder, TextEncoders

if TYPE_CHECKING:
    from diffusers.models.unets.unet_2d_condition import UNet2DConditionModel


class SD15:
    """Stable Diffusion 1.5, opened from ``pretrained_model_name_or_path``; its parts are loaded one by one.

    ``unet`` is None until it is loaded. ``weights_file`` is None where the base model is a folder, so that
    there is no one file to hash.
    """

    name = "SD1.5"
    text_encoders = ("text_encoder",)
    t5 = None
    largest_side = None
    drop_encoders = None
    crop_positions = None

    def __init__(self, config: Any) -> None:
        self._layout: Layout = read_layout(config)
        self.weights_file: Path | None = self._layout.weights_file
        self._base_weights: str = config.base_weights
        self._max_tokens: int = config.max_token_length
        self._read = clip_text.weighted_tokens if config.weighted_captions else clip_text.plain_tokens
        self.process = noise_process(self._layout.scheduler_config, config)
        self.notes = notes_on_schedule(self._layout.scheduler_config, config)
        self.vae = Autoencoder(self._layout.vae, config, usual_scale=0.18215)
        (encoder,), (tokenizer,) = self._layout.text_encoders, self._layout.tokenizers
        self.clip_l = TextEncoder(encoder, tokenizer)
        self.text = self.learners = TextEncoders([self.clip_l])
        self.unet: UNet2DConditionModel | None = None

    def download(self) -> Iterator[tuple[int, int]]:
        """Fetch the weights that are not on this machine yet, and yield (done, total) in MiB."""
        for part in self._layout.parts:
            yield from part.download()

    def load_denoiser(self, device: torch.device | str, dtype: torch.dtype) -> None:
        """Load the UNet, frozen."""
        self.unet = denoiser.load_unet(self._layout.unet, device, dtype, stored_as=self._base_weights)

    def unload_denoiser(self) -> None:
        """Forget the UNet and return its memory; nothing happens if it is not loaded."""
        self.unet = None
        free_memory()

    def encode_text(self, captions: Sequence[str], *, skip: int) -> TextEmbedding:
        """Return hidden states (B, ``max_token_length`` + 2, D).

        They carry their history where the encoder trains and grad is on.
        """
        encoder, tokenizer = self.clip_l.in_memory()
        tokens = self._read(tokenizer, captions, max_tokens=self._max_tokens)
        return TextEmbedding(tokens.weigh(clip_text.encode(encoder, tokens.ids, skip=skip)))

    def predict(self, noisy: Tensor, times: Tensor, text: TextEmbedding, sizes: Tensor) -> Tensor:
        """Return the UNet's estimate (B, C, h, w); inputs take the UNet's dtype unless autocast is on."""
        del sizes  # its UNet was never told them
        return denoiser.estimate(loaded(self.unet, "unet"), noisy, times, hidden=text.hidden)

    def roots(self) -> dict[str, Root]:
        """Return the loaded parts an adapter can attach to, by component."""
        found: dict[str, Root] = {}
        if self.unet is not None:
            found["unet"] = Root(self.unet, "lora_unet")
        if self.clip_l.model is not None:
            found["text_encoder"] = Root(self.clip_l.model, "lora_te", clip_path)
        return found

    def enable_gradient_checkpointing(self, *, unet: bool, text_encoder: bool) -> None:
        """Recompute activations in the backward pass of the chosen parts, which must be loaded."""
        if unet:
            denoiser.enable_checkpointing(loaded(self.unet, "unet"))
        if text_encoder:
            clip_text.enable_checkpointing(self.clip_l.in_memory()[0])

    def identity(self) -> dict[str, str]:
        """Return the metadata by which other programs recognise the base model."""
        return {
            "ss_base_model_version": "sd_v1",
            "ss_v2": "False",
            "modelspec.architecture": "stable-diffusion-v1/lora",
            "modelspec.prediction_type": "epsilon" if self.process.prediction == "epsilon" else "v",
            **self._layout.file_names(),
        }
