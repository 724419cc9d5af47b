"""Stable Diffusion 1.5: one CLIP text encoder, a UNet over latents (Rombach et al., arXiv:2112.10752)."""

import gc
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint

from lora_widgets.diffusion.ddpm import DiscreteProcess, linear_betas, scaled_linear_betas, zero_terminal
from lora_widgets.errors import ModelError
from lora_widgets.families import clip_text
from lora_widgets.families.family import Part, TextEmbedding
from lora_widgets.families.fingerprint import fingerprint
from lora_widgets.families.sd15_layout import Layout, read_layout
from lora_widgets.families.weights import load_tokenizer

if TYPE_CHECKING:
    from diffusers.models.autoencoders.autoencoder_kl import AutoencoderKL
    from diffusers.models.unets.unet_2d_condition import UNet2DConditionModel
    from transformers import CLIPTextModel


class SD15:
    """Stable Diffusion 1.5, opened from ``pretrained_model_name_or_path``; its parts are loaded one by one.

    ``vae``, ``text_encoder``, ``tokenizer`` and ``unet`` are None until they are loaded. ``weights_file`` is
    None where the base model is a folder, so that there is no one file to hash.
    """

    name = "SD1.5"

    def __init__(self, config: Any) -> None:
        self._layout: Layout = read_layout(config)
        self.weights_file: Path | None = self._layout.weights_file
        self._vae_needs_float32 = bool(config.no_half_vae)
        self._max_tokens: int = config.max_token_length
        self.process = _process(self._layout.scheduler_config, zero_snr=bool(config.zero_terminal_snr))
        vae = self._layout.vae.config
        self.latent_channels: int = vae.get("latent_channels", 4)
        self.latent_factor: int = 2 ** (len(vae["block_out_channels"]) - 1)
        self._latent_scale: float = vae.get("scaling_factor", 0.18215)
        self.vae: AutoencoderKL | None = None
        self.text_encoder: CLIPTextModel | None = None
        self.tokenizer: Any = None
        self.unet: UNet2DConditionModel | None = None

    def download(self) -> Iterator[tuple[int, int]]:
        """Fetch the weights that are not on this machine yet, and yield (done, total) in MiB."""
        for part in (self._layout.text_encoder, self._layout.vae, self._layout.unet):
            yield from part.download()

    def load_vae(self, device: torch.device | str, dtype: torch.dtype) -> None:
        """Load the autoencoder; ``no_half_vae`` turns ``dtype`` into float32."""
        from diffusers.models.autoencoders.autoencoder_kl import AutoencoderKL

        dtype = torch.float32 if self._vae_needs_float32 else dtype
        self.vae = self._layout.vae.load(AutoencoderKL, device=device, dtype=dtype)

    def load_text_encoder(self, device: torch.device | str, dtype: torch.dtype) -> None:
        """Load the CLIP text encoder and its tokenizer, frozen."""
        from transformers import CLIPTextModel, CLIPTokenizer

        self.text_encoder = self._layout.text_encoder.load(CLIPTextModel, device=device, dtype=dtype)
        tokenizer = self._layout.tokenizer
        self.tokenizer = load_tokenizer(
            CLIPTokenizer.from_pretrained, tokenizer.source, subfolder=tokenizer.subfolder
        )

    def load_denoiser(self, device: torch.device | str, dtype: torch.dtype) -> None:
        """Load the UNet, frozen."""
        from diffusers.models.unets.unet_2d_condition import UNet2DConditionModel

        self.unet = self._layout.unet.load(UNet2DConditionModel, device=device, dtype=dtype)

    def unload(self, part: Part) -> None:
        """Forget a part and return its memory; nothing happens if it is not loaded."""
        if part == "vae":
            self.vae = None
        elif part == "text_encoder":
            self.text_encoder = self.tokenizer = None
        else:
            self.unet = None
        gc.collect()
        if torch.cuda.is_initialized():
            torch.cuda.empty_cache()

    def fingerprint(self, part: Part) -> str:
        """Return a hash of all that decides the outputs of a loaded part: weights, formats, vocabulary."""
        if part == "vae":
            return fingerprint(_loaded(self.vae, part), self._latent_scale)
        if part == "text_encoder":
            vocabulary = sorted(_loaded(self.tokenizer, "tokenizer").get_vocab().items())
            return fingerprint(_loaded(self.text_encoder, part), vocabulary)
        return fingerprint(_loaded(self.unet, part))

    def use_float32_vae(self) -> bool:
        """Let the loaded autoencoder compute in float32 from now on; False if it did already."""
        vae = _loaded(self.vae, "vae")
        if vae.dtype == torch.float32:
            return False
        vae.to(torch.float32)
        return True

    @torch.no_grad()
    def encode_images(
        self, pixels: Tensor, *, generator: torch.Generator | Sequence[torch.Generator]
    ) -> Tensor:
        """Sample latents (B, C, h, w), float32 and scaled, of ``pixels`` (B, 3, H, W) in [-1, 1].

        The posterior is sampled once, as the reference trainer does; ``generator`` is one for all pictures,
        or one for each.
        """
        vae = _loaded(self.vae, "vae")
        with torch.autocast(vae.device.type, enabled=False):  # `no_half_vae` holds there too
            posterior = vae.encode(pixels.to(vae.device, vae.dtype), return_dict=False)[0]
        mean, deviation = posterior.mean.float(), posterior.std.float()
        drawn = _normal(mean.shape, generator)
        return (mean + deviation * drawn.to(mean)) * self._latent_scale

    @torch.no_grad()
    def decode(self, latents: Tensor) -> Tensor:
        """Return float32 pixels (B, 3, H, W) in [-1, 1] of scaled latents."""
        vae = _loaded(self.vae, "vae")
        latents = (latents.float() / self._latent_scale).to(vae.device, vae.dtype)
        with torch.autocast(vae.device.type, enabled=False):
            return vae.decode(latents, return_dict=False)[0].float().clamp(-1, 1)

    def encode_text(self, captions: Sequence[str], *, skip: int) -> TextEmbedding:
        """Return hidden states (B, ``max_token_length`` + 2, D).

        They carry their history where the encoder trains and grad is on.
        """
        encoder = _loaded(self.text_encoder, "text_encoder")
        ids = clip_text.tokenize(self.tokenizer, captions, max_tokens=self._max_tokens)
        return TextEmbedding(clip_text.encode(encoder, ids, skip=skip))

    def predict(self, noisy: Tensor, times: Tensor, text: TextEmbedding) -> Tensor:
        """Return the UNet's estimate (B, C, h, w); inputs take the UNet's dtype unless autocast is on."""
        unet, hidden = _loaded(self.unet, "unet"), text.hidden
        if not torch.is_autocast_enabled(noisy.device.type):
            dtype = unet.conv_in.weight.dtype  # `unet.dtype` walks over all parameters
            noisy, hidden = noisy.to(dtype), hidden.to(dtype)
        return unet(noisy, times.to(noisy.device), encoder_hidden_states=hidden, return_dict=False)[0]

    def roots(self) -> dict[str, tuple[nn.Module, str]]:
        """Return the loaded parts an adapter can attach to: component -> (module, prefix of file names)."""
        parts = {"unet": (self.unet, "lora_unet"), "text_encoder": (self.text_encoder, "lora_te")}
        return {component: (root, prefix) for component, (root, prefix) in parts.items() if root is not None}

    def enable_gradient_checkpointing(self, *, unet: bool, text_encoder: bool) -> None:
        """Recompute activations in the backward pass of the chosen parts, which must be loaded."""
        # Our dropouts repeat their masks by themselves, so the global random state needs no saving.
        if unet:
            denoiser = _loaded(self.unet, "unet")
            denoiser.enable_gradient_checkpointing(
                lambda block, *inputs: checkpoint(
                    block.__call__, *inputs, use_reentrant=False, preserve_rng_state=False
                )
            )
            _let_checkpoints_act(denoiser)
        if text_encoder:
            encoder = _loaded(self.text_encoder, "text_encoder")
            clip_text.enable_checkpointing(encoder, use_reentrant=False, preserve_rng_state=False)
            _let_checkpoints_act(encoder)

    def identity(self) -> dict[str, str]:
        """Return the metadata by which other programs recognise the base model."""
        names = {
            "ss_base_model_version": "sd_v1",
            "ss_v2": "False",
            "ss_sd_model_name": Path(self._layout.unet.place).name,
            "modelspec.architecture": "stable-diffusion-v1/lora",
            "modelspec.prediction_type": "epsilon" if self.process.prediction == "epsilon" else "v",
        }
        if not self._layout.has_own_vae:
            names["ss_vae_name"] = Path(self._layout.vae.place).name
        return names


def _process(scheduler: Mapping[str, Any], *, zero_snr: bool) -> DiscreteProcess:
    """Return the noise process the model was trained with; what its scheduler config omits is SD1.5's."""
    schedules = {"scaled_linear": scaled_linear_betas, "linear": linear_betas}
    schedule, prediction = (
        scheduler.get("beta_schedule", "scaled_linear"),
        scheduler.get("prediction_type", "epsilon"),
    )
    if schedule not in schedules or prediction not in ("epsilon", "v_prediction"):
        raise ModelError(
            f"The model in `pretrained_model_name_or_path` says beta_schedule {schedule!r} and "
            f"prediction_type {prediction!r} in scheduler/scheduler_config.json. This version trains "
            "scaled_linear or linear schedules with epsilon or v_prediction: use a model with those."
        )
    betas = schedules[schedule](
        scheduler.get("num_train_timesteps", 1000),
        start=scheduler.get("beta_start", 0.00085),
        end=scheduler.get("beta_end", 0.012),
    )
    return DiscreteProcess(zero_terminal(betas) if zero_snr else betas, prediction=prediction)


def _normal(shape: torch.Size, generator: torch.Generator | Sequence[torch.Generator]) -> Tensor:
    """Draw noise of ``shape`` (B, ...), each of B pictures with its own generator if there are several."""
    if isinstance(generator, torch.Generator):
        return torch.randn(shape, generator=generator, device=generator.device)
    return torch.stack([torch.randn(shape[1:], generator=one, device=one.device) for one in generator])


def _let_checkpoints_act(root: nn.Module) -> None:
    """Put only the checkpointed blocks in training mode, which is when they recompute; dropouts stay off."""
    for module in root.modules():
        if getattr(module, "gradient_checkpointing", False):
            module.training = True


def _loaded(part: Any, name: str) -> Any:
    if part is None:
        raise RuntimeError(f"The {name} of the base model is not loaded; this is a mistake in the program.")
    return part
