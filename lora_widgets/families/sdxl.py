"""Stable Diffusion XL: two CLIP text encoders, a UNet that is told sizes (Podell 2023, arXiv:2307.01952)."""

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from lora_widgets.catalog.unet_paths import sgm_path
from lora_widgets.families import autoencoder, clip_text, denoiser
from lora_widgets.families.family import Part, Root, TextEmbedding
from lora_widgets.families.fingerprint import fingerprint
from lora_widgets.families.in_memory import free_memory, loaded
from lora_widgets.families.noise_schedule import noise_process, notes_on_schedule
from lora_widgets.families.sd_layout import Layout, read_layout

if TYPE_CHECKING:
    from diffusers.models.autoencoders.autoencoder_kl import AutoencoderKL
    from diffusers.models.unets.unet_2d_condition import UNet2DConditionModel
    from transformers import CLIPTextModel, CLIPTextModelWithProjection


class SDXL:
    """Stable Diffusion XL, opened from ``pretrained_model_name_or_path``; its parts are loaded one by one.

    ``text_encoder`` is CLIP-L, ``text_encoder_2`` CLIP-G, whose pooled text the UNet reads too. The parts and
    the tokenizers are None until they are loaded. ``weights_file`` is None where the base model is a
    folder, so that there is no one file to hash.
    """

    name = "SDXL"
    text_encoders = ("text_encoder_1", "text_encoder_2")
    largest_side = None
    drop_encoders = None

    def __init__(self, config: Any) -> None:
        self._layout: Layout = read_layout(config)
        self.weights_file: Path | None = self._layout.weights_file
        self._vae_needs_float32 = bool(config.no_half_vae)
        self._vae_in_tiles = bool(config.vae_tiling)
        self._base_weights: str = config.base_weights
        self._max_tokens: int = config.max_token_length
        self._read = clip_text.weighted_tokens if config.weighted_captions else clip_text.plain_tokens
        self.process = noise_process(self._layout.scheduler_config, config)
        self.notes = notes_on_schedule(self._layout.scheduler_config, config)
        vae = self._layout.vae.config
        self.latent_channels: int = vae.get("latent_channels", 4)
        self.latent_factor: int = 2 ** (len(vae["block_out_channels"]) - 1)
        self._latent_scale: float = vae.get("scaling_factor", 0.13025)
        self.vae: AutoencoderKL | None = None
        self.text_encoder: CLIPTextModel | None = None
        self.text_encoder_2: CLIPTextModelWithProjection | None = None
        self.tokenizer: Any = None
        self.tokenizer_2: Any = None
        self.unet: UNet2DConditionModel | None = None

    def download(self) -> Iterator[tuple[int, int]]:
        """Fetch the weights that are not on this machine yet, and yield (done, total) in MiB."""
        for part in self._layout.parts:
            yield from part.download()

    def load_vae(self, device: torch.device | str, dtype: torch.dtype) -> None:
        """Load the autoencoder; ``no_half_vae`` turns ``dtype`` into float32."""
        dtype = torch.float32 if self._vae_needs_float32 else dtype
        self.vae = autoencoder.load_autoencoder(self._layout.vae, device, dtype, in_tiles=self._vae_in_tiles)

    def load_text_encoder(self, device: torch.device | str, dtype: torch.dtype) -> None:
        """Load both CLIP text encoders and their tokenizers, frozen."""
        first, second = self._layout.text_encoders
        self.text_encoder = first.load(device=device, dtype=dtype)
        self.text_encoder_2 = second.load(device=device, dtype=dtype)
        self.tokenizer, self.tokenizer_2 = (place.load() for place in self._layout.tokenizers)

    def load_denoiser(self, device: torch.device | str, dtype: torch.dtype) -> None:
        """Load the UNet, frozen."""
        self.unet = denoiser.load_unet(self._layout.unet, device, dtype, stored_as=self._base_weights)

    def unload(self, part: Part) -> None:
        """Forget a part and return its memory; nothing happens if it is not loaded."""
        if part == "vae":
            self.vae = None
        elif part == "text_encoder":
            self.text_encoder = self.text_encoder_2 = self.tokenizer = self.tokenizer_2 = None
        else:
            self.unet = None
        free_memory()

    def fingerprint(self, part: Part) -> str:
        """Return a hash of all that decides the outputs of a loaded part: weights, formats, vocabulary."""
        if part == "vae":
            tiles = ("tiles",) if self._vae_in_tiles else ()
            return fingerprint(loaded(self.vae, part), self._latent_scale, *tiles)
        if part == "denoiser":
            return fingerprint(loaded(self.unet, "unet"))
        return " ".join(
            fingerprint(encoder, sorted(tokenizer.get_vocab().items()), tokenizer.pad_token_id)
            for encoder, tokenizer in self._readers()
        )

    def use_float32_vae(self) -> bool:
        """Let the autoencoder compute in float32, now and when loaded again; False if it did already."""
        self._vae_needs_float32 = True
        return autoencoder.to_float32(loaded(self.vae, "vae"))

    def encode_images(
        self, pixels: Tensor, *, generator: torch.Generator | Sequence[torch.Generator]
    ) -> Tensor:
        """Sample latents (B, C, h, w), float32 and scaled, of ``pixels`` (B, 3, H, W) in [-1, 1]."""
        vae = loaded(self.vae, "vae")
        return autoencoder.encode(vae, pixels, shift=0.0, scale=self._latent_scale, generator=generator)

    def decode(self, latents: Tensor) -> Tensor:
        """Return float32 pixels (B, 3, H, W) in [-1, 1] of scaled latents."""
        vae = loaded(self.vae, "vae")
        return autoencoder.decode(vae, latents, shift=0.0, scale=self._latent_scale)

    def encode_text(self, captions: Sequence[str], *, skip: int) -> TextEmbedding:
        """Return both encoders' states side by side (B, ``max_token_length`` + 2, D), and pooled text (B, P).

        SDXL was trained with the last layer but one of each, so ``skip`` is ignored. They carry their history
        where the encoders train and grad is on.
        """
        del skip
        states, pooled = [], None
        for encoder, tokenizer in self._readers():
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
        if self.text_encoder is not None and self.text_encoder_2 is not None:
            found["text_encoder_1"] = Root(self.text_encoder, "lora_te1")
            found["text_encoder_2"] = Root(self.text_encoder_2, "lora_te2")
        return found

    def enable_gradient_checkpointing(self, *, unet: bool, text_encoder: bool) -> None:
        """Recompute activations in the backward pass of the chosen parts, which must be loaded."""
        if unet:
            denoiser.enable_checkpointing(loaded(self.unet, "unet"))
        if text_encoder:
            for encoder, _ in self._readers():
                clip_text.enable_checkpointing(encoder)

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

    def _readers(self) -> tuple[tuple[Any, Any], tuple[Any, Any]]:
        """Return each text encoder with its tokenizer."""
        return (
            (loaded(self.text_encoder, "text_encoder"), self.tokenizer),
            (loaded(self.text_encoder_2, "text_encoder_2"), self.tokenizer_2),
        )
