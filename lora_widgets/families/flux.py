"""Flux.1 dev and schnell: CLIP-L and T5, a transformer over patches of latents (Black Forest Labs 2024)."""

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn

from lora_widgets.config.captions import TOKENS_PER_WINDOW
from lora_widgets.config.memory import blocks_of_flux
from lora_widgets.diffusion.flow import even_sigmas, sigmas_by_size
from lora_widgets.families import autoencoder, block_swap, clip_text, denoiser, flux_transformer, t5_text
from lora_widgets.families.family import Part, Root, TextEmbedding
from lora_widgets.families.fingerprint import fingerprint
from lora_widgets.families.flow_schedule import flux_process
from lora_widgets.families.flux_layout import Layout, read_layout
from lora_widgets.families.flux_names import flux_root
from lora_widgets.families.in_memory import free_memory, loaded

if TYPE_CHECKING:
    from diffusers.models.autoencoders.autoencoder_kl import AutoencoderKL
    from diffusers.models.transformers.transformer_flux import FluxTransformer2DModel
    from transformers import CLIPTextModel, T5EncoderModel

_DEV_TOKENS, _SCHNELL_TOKENS = 512, 256


class Flux:
    """Flux.1, opened from ``pretrained_model_name_or_path``; its parts are loaded one by one.

    ``text_encoder`` is CLIP-L, of which the pooled text is read, ``text_encoder_2`` T5, which never learns.
    The parts and the tokenizers are None until they are loaded. ``weights_file`` is None where the base model
    is a folder, so that there is no one file to hash.
    """

    name = "Flux"
    text_encoders = ("text_encoder",)
    largest_side = None
    drop_encoders = None

    def __init__(self, config: Any) -> None:
        self._layout: Layout = read_layout(config)
        self.weights_file: Path | None = self._layout.weights_file
        self._is_dev = self._layout.is_dev
        self._vae_needs_float32 = bool(config.no_half_vae)
        self._vae_in_tiles = bool(config.vae_tiling)
        self._base_weights: str = config.base_weights
        self._blocks_to_swap: int = config.blocks_to_swap
        self._guidance: float = config.guidance_scale
        own_length = _DEV_TOKENS if self._is_dev else _SCHNELL_TOKENS
        self._t5_tokens: int = config.t5xxl_max_token_length or own_length
        self._t5_is_masked = bool(config.apply_t5_attn_mask)
        # schnell was distilled to few steps, in which it does not shift with the size of the picture.
        timetable = sigmas_by_size if self._is_dev else lambda steps, _: even_sigmas(steps)
        self.process = flux_process(config, timetable=timetable)
        self.notes = _notes(config, is_dev=self._is_dev, own_length=own_length)
        vae = self._layout.vae.config
        self.latent_channels: int = vae.get("latent_channels", 16)
        self.latent_factor: int = 2 ** (len(vae["block_out_channels"]) - 1)
        self._latent_scale: float = vae.get("scaling_factor", 0.3611)
        self._latent_shift: float = vae.get("shift_factor") or 0.0
        self.vae: AutoencoderKL | None = None
        self.text_encoder: CLIPTextModel | None = None
        self.text_encoder_2: T5EncoderModel | None = None
        self.tokenizer: Any = None
        self.tokenizer_2: Any = None
        self.transformer: FluxTransformer2DModel | None = None

    def download(self) -> Iterator[tuple[int, int]]:
        """Fetch the weights that are not on this machine yet, and yield (done, total) in MiB."""
        for part in self._layout.parts:
            yield from part.download()

    def load_vae(self, device: torch.device | str, dtype: torch.dtype) -> None:
        """Load the autoencoder; ``no_half_vae`` turns ``dtype`` into float32."""
        dtype = torch.float32 if self._vae_needs_float32 else dtype
        self.vae = autoencoder.load_autoencoder(self._layout.vae, device, dtype, in_tiles=self._vae_in_tiles)

    def load_text_encoder(self, device: torch.device | str, dtype: torch.dtype) -> None:
        """Load CLIP-L and T5 with their tokenizers, frozen."""
        self.tokenizer, self.tokenizer_2 = (place.load() for place in self._layout.tokenizers)
        self.text_encoder = self._layout.clip_l.load(device=device, dtype=dtype)
        self.text_encoder_2 = self._layout.t5.load(device=device, dtype=dtype)
        t5_text.keep_range(loaded(self.text_encoder_2, "text_encoder_2"))

    def load_denoiser(self, device: torch.device | str, dtype: torch.dtype) -> None:
        """Load the transformer, frozen; with `blocks_to_swap`, some blocks of it into main memory."""
        self.transformer = block_swap.load(
            self._layout.transformer,
            device,
            dtype,
            stored_as=self._base_weights,
            swapped=self._swapped_blocks if self._blocks_to_swap else None,
        )

    def unload(self, part: Part) -> None:
        """Forget a part and return its memory; nothing happens if it is not loaded."""
        if part == "vae":
            self.vae = None
        elif part == "text_encoder":
            self.text_encoder = self.text_encoder_2 = self.tokenizer = self.tokenizer_2 = None
        else:
            self.transformer = None
        free_memory()

    def fingerprint(self, part: Part) -> str:
        """Return a hash of all that decides the outputs of a loaded part: weights, formats, vocabulary."""
        if part == "vae":
            tiles = ("tiles",) if self._vae_in_tiles else ()
            return fingerprint(loaded(self.vae, part), self._latent_scale, self._latent_shift, *tiles)
        if part == "denoiser":
            return fingerprint(loaded(self.transformer, "transformer"))
        readers = (self.text_encoder, self.tokenizer), (self.text_encoder_2, self.tokenizer_2)
        return " ".join(
            fingerprint(
                loaded(encoder, part),
                sorted(tokenizer.get_vocab().items()),
                self._t5_tokens,
                self._t5_is_masked,
            )
            for encoder, tokenizer in readers
        )

    def use_float32_vae(self) -> bool:
        """Let the autoencoder compute in float32, now and when loaded again; False if it did already."""
        self._vae_needs_float32 = True
        return autoencoder.to_float32(loaded(self.vae, "vae"))

    def encode_images(
        self, pixels: Tensor, *, generator: torch.Generator | Sequence[torch.Generator]
    ) -> Tensor:
        """Sample latents (B, C, h, w), float32 and scaled, of ``pixels`` (B, 3, H, W) in [-1, 1]."""
        return autoencoder.encode(
            loaded(self.vae, "vae"),
            pixels,
            shift=self._latent_shift,
            scale=self._latent_scale,
            generator=generator,
        )

    def decode(self, latents: Tensor) -> Tensor:
        """Return float32 pixels (B, 3, H, W) in [-1, 1] of scaled latents."""
        vae = loaded(self.vae, "vae")
        return autoencoder.decode(vae, latents, shift=self._latent_shift, scale=self._latent_scale)

    def encode_text(self, captions: Sequence[str], *, skip: int) -> TextEmbedding:
        """Return T5's states (B, L, D) and CLIP's pooled text (B, P); a mask (B, L) where T5 is masked.

        Flux was trained with the last layer of both, so ``skip`` is ignored. The pooled text carries its
        history where CLIP trains and grad is on.
        """
        del skip
        ids = clip_text.tokenize(self.tokenizer, captions, max_tokens=TOKENS_PER_WINDOW)
        pooled = clip_text.pool(loaded(self.text_encoder, "text_encoder"), ids[:, 0])
        ids, mask = t5_text.tokenize(self.tokenizer_2, captions, max_tokens=self._t5_tokens)
        t5, seen = loaded(self.text_encoder_2, "text_encoder_2"), mask if self._t5_is_masked else None
        with torch.no_grad():
            hidden = t5_text.encode(t5, ids, mask=seen)
        return TextEmbedding(hidden, pooled, None if seen is None else seen.to(hidden.device))

    def predict(self, noisy: Tensor, times: Tensor, text: TextEmbedding, sizes: Tensor) -> Tensor:
        """Return the transformer's velocity (B, C, h, w); inputs take its dtype unless autocast is on.

        The sides of the latents must be even. Where the text says no guidance, it is `guidance_scale`.
        """
        del sizes  # it was never told them
        guidance = None
        if self._is_dev:
            guidance = noisy.new_full((len(noisy),), self._guidance, dtype=torch.float32)
            guidance = guidance if text.guidance is None else text.guidance.to(guidance)
        return flux_transformer.estimate(
            loaded(self.transformer, "transformer"), noisy, times, text=text, guidance=guidance
        )

    def roots(self) -> dict[str, Root]:
        """Return the loaded parts an adapter can attach to, by component."""
        found: dict[str, Root] = {}
        if self.transformer is not None:
            found["unet"] = flux_root(self.transformer)
        if self.text_encoder is not None:
            found["text_encoder"] = Root(self.text_encoder, "lora_te1")
        return found

    def enable_gradient_checkpointing(self, *, unet: bool, text_encoder: bool) -> None:
        """Recompute activations in the backward pass of the chosen parts, which must be loaded."""
        if unet:
            denoiser.enable_checkpointing(loaded(self.transformer, "transformer"))
        if text_encoder:
            clip_text.enable_checkpointing(loaded(self.text_encoder, "text_encoder"))

    def identity(self) -> dict[str, str]:
        """Return the metadata by which other programs recognise the base model."""
        return {
            "ss_base_model_version": "flux1",
            "ss_model_type": "flux",
            "ss_v2": "False",
            "ss_clip_skip": "None",  # not that of the settings, which SD1.5 alone reads
            "ss_max_token_length": "None",  # nor that, which is not T5's
            "ss_apply_t5_attn_mask": str(self._t5_is_masked),
            "modelspec.encoder_layer": "1",
            "modelspec.architecture": f"flux-1-{'dev' if self._is_dev else 'schnell'}/lora",
            "modelspec.implementation": "https://github.com/black-forest-labs/flux",
            **self._layout.file_names(),
        }

    def _swapped_blocks(self, transformer: Any) -> list[nn.Module]:
        """Return the blocks that wait in main memory."""
        doubles, singles = blocks_of_flux(self._blocks_to_swap)
        return [
            *block_swap.last_blocks(transformer.transformer_blocks, doubles),
            *block_swap.last_blocks(transformer.single_transformer_blocks, singles),
        ]


def _notes(config: Any, *, is_dev: bool, own_length: int) -> tuple[str, ...]:
    """Say where the settings do not agree with the variant of the model."""
    found = []
    if not is_dev and config.guidance_scale != 1:
        found.append(
            f"`guidance_scale` is {config.guidance_scale:g}, but the base model is Flux schnell, which is "
            "not told guidance. It has no effect; set it to 1."
        )
    if (config.t5xxl_max_token_length or 0) > own_length:
        found.append(
            f"`t5xxl_max_token_length` is {config.t5xxl_max_token_length}, but the base model was trained "
            f"with {own_length} tokens of T5. Leave it empty to use as many."
        )
    return tuple(found)
