"""Stable Diffusion 3 and 3.5: two CLIPs, T5, and a transformer (Esser et al. 2024, arXiv:2403.03206)."""

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn
from torch.nn import functional

from lora_widgets.catalog.text_paths import clip_path
from lora_widgets.config.captions import TOKENS_PER_WINDOW
from lora_widgets.families import block_swap, clip_text, denoiser
from lora_widgets.families.autoencoder import Autoencoder
from lora_widgets.families.family import Root, TextEmbedding
from lora_widgets.families.flow_schedule import sd3_process
from lora_widgets.families.in_memory import free_memory, loaded
from lora_widgets.families.sd3_layout import Layout, read_layout
from lora_widgets.families.sd3_names import sd3_root
from lora_widgets.families.sd3_positions import PositionCrop
from lora_widgets.families.sd3_text import CLIP_TOKENS, encoder_dropout
from lora_widgets.families.t5_text import T5
from lora_widgets.families.text_encoder import TextEncoder, TextEncoders

if TYPE_CHECKING:
    from diffusers.models.transformers.transformer_sd3 import SD3Transformer2DModel

T5_TOKENS = 256
"""How many tokens of T5 the models were trained with."""
_OF_T5 = ("t5_dropout_rate", "t5xxl_max_token_length", "apply_t5_attn_mask")


class SD3:
    """Stable Diffusion 3 or 3.5, opened from ``pretrained_model_name_or_path``; parts are loaded one by one.

    T5 never learns, and may be missing: then ``t5`` is None. ``transformer`` is None until it is loaded.
    ``weights_file`` is None where the base model is a folder, so that there is no one file to hash.
    """

    name = "SD3"
    text_encoders = ("text_encoder_1", "text_encoder_2")

    def __init__(self, config: Any) -> None:
        self._layout: Layout = read_layout(config)
        self.weights_file: Path | None = self._layout.weights_file
        self._base_weights: str = config.base_weights
        self._blocks_to_swap: int = config.blocks_to_swap
        self._t5_is_masked = bool(config.apply_t5_attn_mask)
        self._clips_are_masked = bool(config.apply_lg_attn_mask)
        self.drop_encoders = encoder_dropout(config, self._layout)
        rate: float = config.pos_emb_random_crop_rate
        self.crop_positions = PositionCrop(rate, self._position_embedding) if rate else None
        self.process = sd3_process(config, shift=self._layout.scheduler_config.get("shift", 3.0))
        self.notes = _notes(self._layout, config)
        self.vae = Autoencoder(self._layout.vae, config, usual_scale=1.5305)
        self.largest_side: int | None = self._layout.latents_along * self.vae.latent_factor
        facts = ("padding masked",) if self._clips_are_masked else ()
        self.clip_l, self.clip_g = (
            TextEncoder(place, tokenizer, facts=facts)
            for place, tokenizer in zip(self._layout.clips, self._layout.tokenizers, strict=True)
        )
        self.clips = (self.clip_l, self.clip_g)
        self.t5 = self._t5(config)
        self.learners = TextEncoders(self.clips)
        self.text = self.learners if self.t5 is None else TextEncoders([*self.clips, self.t5.encoder])
        self.transformer: SD3Transformer2DModel | None = None

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
        """Return the context (B, 77 + L, D), and the pooled texts of both CLIPs side by side (B, P).

        The context is what both CLIPs say, side by side and filled with zeros up to T5's width D, and then
        T5's own states of L tokens; without T5 they are 77 rows of zeros, as in kohya-ss/sd-scripts
        (sd3_utils: get_cond). CLIP's last layer but one is read, whatever ``skip`` is.
        """
        del skip
        states, pooled = [], []
        for clip in self.clips:
            encoder, tokenizer = clip.in_memory()
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
        for number, clip in enumerate(self.clips, 1):
            if clip.model is not None:
                found[f"text_encoder_{number}"] = Root(clip.model, f"lora_te{number}", clip_path)
        return found

    def enable_gradient_checkpointing(self, *, unet: bool, text_encoder: bool) -> None:
        """Recompute activations in the backward pass of the chosen parts, which must be loaded."""
        if unet:
            denoiser.enable_checkpointing(loaded(self.transformer, "transformer"))
        if text_encoder:
            for clip in self.clips:
                clip_text.enable_checkpointing(clip.in_memory()[0])

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

    def _position_embedding(self) -> Any:
        """Return the part of the transformer that adds positions."""
        return loaded(self.transformer, "transformer").pos_embed

    def _swapped_blocks(self, transformer: Any) -> list[nn.Module]:
        """Return the blocks that wait in main memory."""
        return block_swap.last_blocks(transformer.transformer_blocks, self._blocks_to_swap)

    @property
    def _width(self) -> int:
        """The width of the context."""
        return self._layout.transformer.config["joint_attention_dim"]

    def _t5(self, config: Any) -> T5 | None:
        place, tokenizer = self._layout.t5, self._layout.t5_tokenizer
        if place is None or tokenizer is None:
            return None
        tokens = config.t5xxl_max_token_length or T5_TOKENS
        return T5(place, tokenizer, max_tokens=tokens, is_masked=self._t5_is_masked)

    def _t5_states(self, captions: Sequence[str]) -> Tensor | None:
        """Return T5's states (B, L, D), those of padding zero where the settings mask it; None without T5."""
        if self.t5 is None:
            return None
        read = self.t5(captions)
        if read.mask is None:
            return read.hidden
        return read.hidden * read.mask.to(read.hidden)[:, :, None]  # the transformer itself takes no mask


def _notes(layout: Layout, config: Any) -> tuple[str, ...]:
    """Say what the model lacks, and where the settings ask for what it was not trained with."""
    return *_notes_on_text(layout, config), *_notes_on_positions(layout, config)


def _notes_on_positions(layout: Layout, config: Any) -> tuple[str, ...]:
    if not config.pos_emb_random_crop_rate or layout.variant == "5-medium":
        return ()
    return (
        f"`pos_emb_random_crop_rate` is {config.pos_emb_random_crop_rate:g}, but the base model in "
        f"{layout.transformer.place} is not SD3.5 medium, which alone was trained so: others know the middle "
        "of their positions only. Set it to 0.",
    )


def _notes_on_text(layout: Layout, config: Any) -> tuple[str, ...]:
    if layout.t5 is None:
        cannot_cache = config.text_is_cached and config.trains_text_encoder
        return (
            f"The base model in {layout.transformer.place} comes without T5, so captions are read by the two "
            "CLIPs alone. Set `t5xxl_path` to a file with T5-XXL to train with it.",
            *(f"`{name}` has no effect without T5." for name in _OF_T5 if getattr(config, name)),
            *(("Nothing of the captions is cached, for both CLIPs train.",) if cannot_cache else ()),
        )
    t5_tokens = config.t5xxl_max_token_length or T5_TOKENS
    if t5_tokens > T5_TOKENS:
        return (
            f"`t5xxl_max_token_length` is {t5_tokens}, but the base model was trained with {T5_TOKENS} "
            "tokens of T5. Leave it empty to use as many.",
        )
    return ()
