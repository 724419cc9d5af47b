"""Stable Diffusion 3 and 3.5: two CLIPs, T5, and a transformer (Esser et al. 2024, arXiv:2403.03206)."""

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn
from torch.nn import functional

from lora_widgets.config.captions import TOKENS_PER_WINDOW
from lora_widgets.families import autoencoder, block_swap, clip_text, denoiser, t5_text
from lora_widgets.families.family import Part, Root, TextEmbedding
from lora_widgets.families.fingerprint import fingerprint
from lora_widgets.families.flow_schedule import sd3_process
from lora_widgets.families.in_memory import free_memory, loaded
from lora_widgets.families.sd3_layout import Layout, read_layout
from lora_widgets.families.sd3_names import sd3_root
from lora_widgets.families.sd3_text import CLIP_TOKENS, encoder_dropout

if TYPE_CHECKING:
    from diffusers.models.autoencoders.autoencoder_kl import AutoencoderKL
    from diffusers.models.transformers.transformer_sd3 import SD3Transformer2DModel
    from transformers import CLIPTextModelWithProjection, T5EncoderModel

T5_TOKENS = 256
"""How many tokens of T5 the models were trained with."""


class SD3:
    """Stable Diffusion 3 or 3.5, opened from ``pretrained_model_name_or_path``; parts are loaded one by one.

    ``text_encoder`` is CLIP-L, ``text_encoder_2`` CLIP-G, and ``text_encoder_3`` T5, which never learns and
    may be missing. The parts and the tokenizers are None until they are loaded. ``weights_file`` is None
    where the base model is a folder, so that there is no one file to hash.
    """

    name = "SD3"
    text_encoders = ("text_encoder_1", "text_encoder_2")

    def __init__(self, config: Any) -> None:
        self._layout: Layout = read_layout(config)
        self.weights_file: Path | None = self._layout.weights_file
        self._vae_needs_float32 = bool(config.no_half_vae)
        self._vae_in_tiles = bool(config.vae_tiling)
        self._base_weights: str = config.base_weights
        self._blocks_to_swap: int = config.blocks_to_swap
        self._t5_tokens: int = config.t5xxl_max_token_length or T5_TOKENS
        self._t5_is_masked = bool(config.apply_t5_attn_mask)
        self._clips_are_masked = bool(config.apply_lg_attn_mask)
        self.drop_encoders = encoder_dropout(config, self._layout)
        self.process = sd3_process(config, shift=self._layout.scheduler_config.get("shift", 3.0))
        self.notes = _notes(self._layout, config, t5_tokens=self._t5_tokens)
        vae = self._layout.vae.config
        self.latent_channels: int = vae.get("latent_channels", 16)
        self.latent_factor: int = 2 ** (len(vae["block_out_channels"]) - 1)
        self.largest_side: int | None = self._layout.latents_along * self.latent_factor
        self._latent_scale: float = vae.get("scaling_factor", 1.5305)
        self._latent_shift: float = vae.get("shift_factor") or 0.0
        self.vae: AutoencoderKL | None = None
        self.text_encoder: CLIPTextModelWithProjection | None = None
        self.text_encoder_2: CLIPTextModelWithProjection | None = None
        self.text_encoder_3: T5EncoderModel | None = None
        self.tokenizer: Any = None
        self.tokenizer_2: Any = None
        self.tokenizer_3: Any = None
        self.transformer: SD3Transformer2DModel | None = None

    def download(self) -> Iterator[tuple[int, int]]:
        """Fetch the weights that are not on this machine yet, and yield (done, total) in MiB."""
        for part in self._layout.parts:
            yield from part.download()

    def load_vae(self, device: torch.device | str, dtype: torch.dtype) -> None:
        """Load the autoencoder; ``no_half_vae`` turns ``dtype`` into float32."""
        dtype = torch.float32 if self._vae_needs_float32 else dtype
        self.vae = autoencoder.load_autoencoder(self._layout.vae, device, dtype, in_tiles=self._vae_in_tiles)

    def load_text_encoder(self, device: torch.device | str, dtype: torch.dtype) -> None:
        """Load both CLIP text encoders, T5 if the model has it, and their tokenizers, frozen."""
        layout = self._layout
        self.text_encoder, self.text_encoder_2 = (
            place.load(device=device, dtype=dtype) for place in layout.clips
        )
        self.tokenizer, self.tokenizer_2 = (place.load() for place in layout.tokenizers)
        if layout.t5 is not None and layout.t5_tokenizer is not None:
            self.tokenizer_3 = layout.t5_tokenizer.load()
            self.text_encoder_3 = layout.t5.load(device=device, dtype=dtype)
            t5_text.keep_range(loaded(self.text_encoder_3, "text_encoder_3"))

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
            self.text_encoder = self.text_encoder_2 = self.text_encoder_3 = None
            self.tokenizer = self.tokenizer_2 = self.tokenizer_3 = None
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
        readers = [*self._clips(), (self.text_encoder_3, self.tokenizer_3)]
        return " ".join(
            fingerprint(
                encoder,
                sorted(tokenizer.get_vocab().items()),
                tokenizer.pad_token_id,
                self._t5_tokens,
                self._t5_is_masked,
                *(("clips masked",) if self._clips_are_masked else ()),
            )
            for encoder, tokenizer in readers
            if encoder is not None
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
        """Return the context (B, 77 + L, D), and the pooled texts of both CLIPs side by side (B, P).

        The context is what both CLIPs say, side by side and filled with zeros up to T5's width D, and then
        T5's own states of L tokens; without T5 they are 77 rows of zeros, as in kohya-ss/sd-scripts
        (sd3_utils: get_cond). CLIP's last layer but one is read, whatever ``skip`` is.
        """
        del skip
        states, pooled = [], []
        for encoder, tokenizer in self._clips():
            ids = clip_text.tokenize(tokenizer, captions, max_tokens=TOKENS_PER_WINDOW)
            hidden, text = clip_text.encode_before_last(encoder, ids)
            if self._clips_are_masked:
                hidden = clip_text.without_padding(hidden, ids, end=tokenizer.eos_token_id)
            assert text is not None  # both have a projection
            states.append(hidden)
            pooled.append(text)
        clips, t5 = torch.cat(states, dim=-1), self._t5_states(captions)
        if t5 is None:
            t5 = clips.new_zeros(len(captions), CLIP_TOKENS, self._width)
        clips = functional.pad(clips, (0, self._width - clips.shape[-1]))
        return TextEmbedding(torch.cat([clips, t5.to(clips)], dim=1), torch.cat(pooled, dim=-1))

    def predict(self, noisy: Tensor, times: Tensor, text: TextEmbedding, sizes: Tensor) -> Tensor:
        """Return the transformer's velocity (B, C, h, w); inputs take its dtype unless autocast is on.

        The sides of the latents must be even.
        """
        del sizes  # it was never told them
        transformer = loaded(self.transformer, "transformer")
        hidden, pooled = text.hidden, text.pooled
        assert pooled is not None  # encode_text gives it
        if not torch.is_autocast_enabled(noisy.device.type):
            dtype = transformer.proj_out.weight.dtype  # `transformer.dtype` walks over all parameters
            noisy, hidden, pooled = noisy.to(dtype), hidden.to(dtype), pooled.to(dtype)
        return transformer(
            noisy,
            encoder_hidden_states=hidden,
            pooled_projections=pooled,
            timestep=times.to(noisy.device),
            return_dict=False,
        )[0]

    def roots(self) -> dict[str, Root]:
        """Return the loaded parts an adapter can attach to, by component."""
        found: dict[str, Root] = {}
        if self.transformer is not None:
            found["unet"] = sd3_root(self.transformer)
        if self.text_encoder is not None and self.text_encoder_2 is not None:
            found["text_encoder_1"] = Root(self.text_encoder, "lora_te1")
            found["text_encoder_2"] = Root(self.text_encoder_2, "lora_te2")
        return found

    def enable_gradient_checkpointing(self, *, unet: bool, text_encoder: bool) -> None:
        """Recompute activations in the backward pass of the chosen parts, which must be loaded."""
        if unet:
            denoiser.enable_checkpointing(loaded(self.transformer, "transformer"))
        if text_encoder:
            for encoder, _ in self._clips():
                clip_text.enable_checkpointing(encoder)

    def identity(self) -> dict[str, str]:
        """Return the metadata by which other programs recognise the base model."""
        return {
            "ss_base_model_version": f"sd3-{self._layout.variant}",
            "ss_v2": "False",
            "ss_apply_lg_attn_mask": str(self._clips_are_masked),
            "ss_apply_t5_attn_mask": str(self._t5_is_masked),
            "ss_clip_skip": "None",  # not that of the settings, which SD1.5 alone reads
            "modelspec.encoder_layer": "2",
            "modelspec.architecture": f"stable-diffusion-3-{self._layout.variant}/lora",
            **self._layout.file_names(),
        }

    def _swapped_blocks(self, transformer: Any) -> list[nn.Module]:
        """Return the blocks that wait in main memory."""
        return block_swap.last_blocks(transformer.transformer_blocks, self._blocks_to_swap)

    @property
    def _width(self) -> int:
        """The width of the context."""
        return self._layout.transformer.config["joint_attention_dim"]

    def _clips(self) -> tuple[tuple[Any, Any], tuple[Any, Any]]:
        """Return each CLIP text encoder with its tokenizer."""
        return (
            (loaded(self.text_encoder, "text_encoder"), self.tokenizer),
            (loaded(self.text_encoder_2, "text_encoder_2"), self.tokenizer_2),
        )

    @torch.no_grad()
    def _t5_states(self, captions: Sequence[str]) -> Tensor | None:
        """Return T5's states (B, L, D), those of padding zero where the settings mask it; None without T5."""
        if self.text_encoder_3 is None:
            return None
        ids, mask = t5_text.tokenize(self.tokenizer_3, captions, max_tokens=self._t5_tokens)
        if not self._t5_is_masked:
            return t5_text.encode(self.text_encoder_3, ids, mask=None)
        states = t5_text.encode(self.text_encoder_3, ids, mask=mask)
        return states * mask.to(states)[:, :, None]  # the transformer itself takes no mask


def _notes(layout: Layout, config: Any, *, t5_tokens: int) -> tuple[str, ...]:
    """Say what the model lacks, and where the settings ask for what it was not trained with."""
    if layout.t5 is None:
        return (
            f"The base model in {layout.transformer.place} comes without T5, so captions are read by the two "
            "CLIPs alone. Set `t5xxl_path` to a file with T5-XXL to train with it.",
            *(("`t5_dropout_rate` has no effect without T5.",) if config.t5_dropout_rate else ()),
        )
    if t5_tokens > T5_TOKENS:
        return (
            f"`t5xxl_max_token_length` is {t5_tokens}, but the base model was trained with {T5_TOKENS} "
            "tokens of T5. Leave it empty to use as many.",
        )
    return ()
