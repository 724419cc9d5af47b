"""Flux.1 dev and schnell: CLIP-L and T5, a transformer over patches of latents (Black Forest Labs 2024)."""

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn

from lora_widgets.catalog.text_paths import clip_path
from lora_widgets.config.captions import TOKENS_PER_WINDOW
from lora_widgets.config.memory import blocks_of_flux
from lora_widgets.diffusion.flow import even_sigmas, sigmas_by_size
from lora_widgets.families import block_swap, clip_text, denoiser, flux_transformer
from lora_widgets.families.autoencoder import Autoencoder
from lora_widgets.families.family import Root, TextEmbedding
from lora_widgets.families.flow_schedule import flux_process
from lora_widgets.families.flux_layout import Layout, read_layout
from lora_widgets.families.flux_names import flux_root
from lora_widgets.families.in_memory import free_memory, loaded
from lora_widgets.families.t5_text import T5
from lora_widgets.families.text_encoder import TextEncoder, TextEncoders

if TYPE_CHECKING:
    from diffusers.models.transformers.transformer_flux import FluxTransformer2DModel

_DEV_TOKENS, _SCHNELL_TOKENS = 512, 256


class Flux:
    """Flux.1, opened from ``pretrained_model_name_or_path``; its parts are loaded one by one.

    Of CLIP-L the pooled text is read; T5 never learns. ``transformer`` is None until it is loaded.
    ``weights_file`` is None where the base model is a folder, so that there is no one file to hash.
    """

    name = "Flux"
    text_encoders = ("text_encoder",)
    largest_side = None
    drop_encoders = None
    crop_positions = None

    def __init__(self, config: Any) -> None:
        self._layout: Layout = read_layout(config)
        self.weights_file: Path | None = self._layout.weights_file
        self._is_dev = self._layout.is_dev
        self._base_weights: str = config.base_weights
        self._blocks_to_swap: int = config.blocks_to_swap
        self._guidance: float = config.guidance_scale
        own_length = _DEV_TOKENS if self._is_dev else _SCHNELL_TOKENS
        self._t5_is_masked = bool(config.apply_t5_attn_mask)
        # schnell was distilled to few steps, in which it does not shift with the size of the picture.
        timetable = sigmas_by_size if self._is_dev else lambda steps, _: even_sigmas(steps)
        self.process = flux_process(config, timetable=timetable)
        self.notes = _notes(config, is_dev=self._is_dev, own_length=own_length)
        self.vae = Autoencoder(self._layout.vae, config, usual_scale=0.3611)
        clip_tokenizer, t5_tokenizer = self._layout.tokenizers
        self.clip_l = TextEncoder(self._layout.clip_l, clip_tokenizer)
        own_tokens = config.t5xxl_max_token_length or own_length
        self.t5 = T5(self._layout.t5, t5_tokenizer, max_tokens=own_tokens, is_masked=self._t5_is_masked)
        self.learners = TextEncoders([self.clip_l])
        self.text = TextEncoders([self.clip_l, self.t5.encoder])
        self.transformer: FluxTransformer2DModel | None = None

    def download(self) -> Iterator[tuple[int, int]]:
        """Fetch the weights that are not on this machine yet, and yield (done, total) in MiB."""
        for part in self._layout.parts:
            yield from part.download()

    def load_denoiser(self, device: torch.device | str, dtype: torch.dtype) -> None:
        """Load the transformer, frozen; with `blocks_to_swap`, some blocks of it into main memory."""
        self.transformer = block_swap.load(
            self._layout.transformer,
            device,
            dtype,
            stored_as=self._base_weights,
            swapped=self._swapped_blocks if self._blocks_to_swap else None,
        )

    def unload_denoiser(self) -> None:
        """Forget the transformer and return its memory; nothing happens if it is not loaded."""
        self.transformer = None
        free_memory()

    def encode_text(self, captions: Sequence[str], *, skip: int) -> TextEmbedding:
        """Return T5's states (B, L, D) and CLIP's pooled text (B, P); a mask (B, L) where T5 is masked.

        Flux was trained with the last layer of both, so ``skip`` is ignored. The pooled text carries its
        history where CLIP trains and grad is on.
        """
        del skip
        encoder, tokenizer = self.clip_l.in_memory()
        ids = clip_text.tokenize(tokenizer, captions, max_tokens=TOKENS_PER_WINDOW)
        pooled = clip_text.pool(encoder, ids[:, 0])
        read = self.t5(captions)
        return TextEmbedding(read.hidden, pooled, read.mask)

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
        if self.clip_l.model is not None:
            found["text_encoder"] = Root(self.clip_l.model, "lora_te1", clip_path)
        return found

    def enable_gradient_checkpointing(self, *, unet: bool, text_encoder: bool) -> None:
        """Recompute activations in the backward pass of the chosen parts, which must be loaded."""
        if unet:
            denoiser.enable_checkpointing(loaded(self.transformer, "transformer"))
        if text_encoder:
            clip_text.enable_checkpointing(self.clip_l.in_memory()[0])

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
