"""Stable Diffusion XL: two CLIP text encoders, a UNet that is told sizes (Podell 2023, arXiv:2307.01952)."""

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from lora_widgets.catalog.text_paths import clip_path
from lora_widgets.catalog.unet_paths import sgm_path
from lora_widgets.families import clip_text, denoiser
from lora_widgets.families.autoencoder import Autoencoder
from lora_widgets.families.family import Root, TextEmbedding
from lora_widgets.families.in_memory import free_memory, loaded
from lora_widgets.families.noise_schedule import noise_process, notes_on_schedule
from lora_widgets.families.sd_layout import Layout, read_layout
from lora_widgets.families.text_encoder import TextEncoder, TextEncoders

if TYPE_CHECKING:
    from diffusers.models.unets.unet_2d_condition import UNet2DConditionModel


class SDXL:
    """Stable Diffusion XL, opened from ``pretrained_model_name_or_path``; its parts are loaded one by one.

    Of its two text encoders the UNet reads the pooled text of CLIP-G too. ``unet`` is None until it is
    loaded. ``weights_file`` is None where the base model is a folder, so that there is no one file to hash.
    """

    name = "SDXL"
    text_encoders = ("text_encoder_1", "text_encoder_2")
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
        self.vae = Autoencoder(self._layout.vae, config, usual_scale=0.13025)
        places = zip(self._layout.text_encoders, self._layout.tokenizers, strict=True)
        self.clip_l, self.clip_g = (TextEncoder(*place) for place in places)
        self.clips = (self.clip_l, self.clip_g)
        self.text = self.learners = TextEncoders(self.clips)
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
        """Return both encoders' states side by side (B, ``max_token_length`` + 2, D), and pooled text (B, P).

        SDXL was trained with the last layer but one of each, so ``skip`` is ignored. They carry their history
        where the encoders train and grad is on.
        """
        del skip
        states, pooled = [], None
        for clip in self.clips:
            encoder, tokenizer = clip.in_memory()
            tokens = self._read(tokenizer, captions, max_tokens=self._max_tokens)
            hidden, pooled = clip_text.encode_before_last(encoder, tokens.ids)
            states.append(tokens.weigh(hidden))
        return TextEmbedding(torch.cat(states, dim=-1), pooled)

    def predict(self, noisy: Tensor, times: Tensor, text: TextEmbedding, sizes: Tensor) -> Tensor:
        """Return the UNet's estimate (B, C, h, w); inputs take the UNet's dtype unless autocast is on.

        The UNet turns ``sizes`` (B, 6) into sinusoids and adds them, with the pooled text, to the time's
        embedding (Podell et al., 2.2).
        """
        unet = loaded(self.unet, "unet")
        assert text.pooled is not None  # encode_text gives it
        added = {"text_embeds": text.pooled, "time_ids": sizes.to(noisy.device)}
        return denoiser.estimate(unet, noisy, times, hidden=text.hidden, added=added)

    def roots(self) -> dict[str, Root]:
        """Return the loaded parts an adapter can attach to, by component."""
        found: dict[str, Root] = {}
        if self.unet is not None:
            found["unet"] = Root(self.unet, "lora_unet", sgm_path)
        for number, clip in enumerate(self.clips, 1):
            if clip.model is not None:
                found[f"text_encoder_{number}"] = Root(clip.model, f"lora_te{number}", clip_path)
        return found

    def enable_gradient_checkpointing(self, *, unet: bool, text_encoder: bool) -> None:
        """Recompute activations in the backward pass of the chosen parts, which must be loaded."""
        if unet:
            denoiser.enable_checkpointing(loaded(self.unet, "unet"))
        if text_encoder:
            for clip in self.clips:
                clip_text.enable_checkpointing(clip.in_memory()[0])

    def identity(self) -> dict[str, str]:
        """Return the metadata by which other programs recognise the base model."""
        return {
            "ss_base_model_version": "sdxl_base_v1-0",
            "ss_v2": "False",
            "ss_clip_skip": "None",  # not that of the settings, which SD1.5 alone reads
            "modelspec.encoder_layer": "2",
            "modelspec.architecture": "stable-diffusion-xl-v1-base/lora",
            "modelspec.prediction_type": "epsilon" if self.process.prediction == "epsilon" else "v",
            **self._layout.file_names(),
        }
