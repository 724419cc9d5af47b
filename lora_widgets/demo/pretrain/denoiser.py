"""Stages 2 and 3: latents of all scenes once, then the denoiser and its text encoder on them."""

# diffusers and transformers annotate their own classes too narrowly (a tuple of one for block sizes).
# pyright: reportPrivateImportUsage=false, reportArgumentType=false, reportAttributeAccessIssue=false

import random
import time
from pathlib import Path

import numpy as np
import torch
from diffusers import AutoencoderKL, DDPMScheduler, UNet2DConditionModel
from torch import nn
from torch.nn import functional
from transformers import CLIPTextConfig, CLIPTextModel, CLIPTokenizer

from lora_widgets.demo.drawing import draw
from lora_widgets.demo.pictures import Scene, caption_of, random_scene
from lora_widgets.demo.pretrain import checkpoint
from lora_widgets.demo.pretrain.autoencoder import pixels
from lora_widgets.demo.pretrain.plan import Plan
from lora_widgets.demo.pretrain.tokenizer import MAX_LENGTH

TEXT_WIDTH = 96
SCHEDULER = {
    "beta_schedule": "scaled_linear",
    "beta_start": 0.00085,
    "beta_end": 0.024,
    "num_train_timesteps": 1000,
    "prediction_type": "v_prediction",
    "steps_offset": 1,
    "clip_sample": False,
}
"""SD1.5's schedule with twice its last beta: small latents otherwise keep their mean at the last timestep,
and backgrounds then come out in between colours. So little signal is left there that predicting noise teaches
nothing about the picture; predicting v (Salimans and Ho 2022, arXiv:2202.00512) does."""


def new_denoiser() -> UNet2DConditionModel:
    """Return SD1.5's UNet in miniature, 10.8 million parameters."""
    return UNet2DConditionModel(
        sample_size=16,
        in_channels=4,
        out_channels=4,
        layers_per_block=1,
        block_out_channels=(64, 128, 192),
        down_block_types=("DownBlock2D", "CrossAttnDownBlock2D", "CrossAttnDownBlock2D"),
        up_block_types=("CrossAttnUpBlock2D", "CrossAttnUpBlock2D", "UpBlock2D"),
        cross_attention_dim=TEXT_WIDTH,
        attention_head_dim=4,
    )


def new_text_encoder(tokenizer: CLIPTokenizer) -> CLIPTextModel:
    """Return CLIP's text model in miniature: two layers."""
    return CLIPTextModel(
        CLIPTextConfig(
            vocab_size=len(tokenizer),
            hidden_size=TEXT_WIDTH,
            intermediate_size=4 * TEXT_WIDTH,
            num_hidden_layers=2,
            num_attention_heads=4,
            max_position_embeddings=MAX_LENGTH,
            bos_token_id=tokenizer.bos_token_id,
            eos_token_id=tokenizer.eos_token_id,
            pad_token_id=tokenizer.pad_token_id,
        )
    )


def scenes(plan: Plan) -> list[Scene]:
    """Return every scene of the training set."""
    rng = random.Random(f"{plan.seed} scenes")
    return [random_scene(rng) for _ in range(plan.scenes)]


@torch.no_grad()
def latents_of(work: Path, vae: AutoencoderKL, plan: Plan) -> torch.Tensor:
    """Return (scenes, 4, 16, 16) latents scaled to unit variance, computed once and kept in ``work``."""
    path = work / "latents.pt"
    if saved := checkpoint.load(path):
        return saved["latents"]
    began, pictures, parts = time.monotonic(), scenes(plan), []
    for start in range(0, len(pictures), 64):
        batch = pixels([np.asarray(draw(s)) for s in pictures[start : start + 64]])
        parts.append((vae.encode(batch).latent_dist.mean * vae.config["scaling_factor"]).half())
        if start % 6_400 == 0:
            plan.say(f"latents {start}/{len(pictures)}", began)
    checkpoint.save(path, {"latents": torch.cat(parts)})
    return torch.cat(parts)


class Average:
    """Exponential moving average of parameters; young averages forget faster, so that the start fades."""

    def __init__(self, parameters: dict[str, nn.Parameter], decay: float) -> None:
        """Start from the present values."""
        self.values = {name: p.detach().clone() for name, p in parameters.items()}
        self.decay = decay

    @torch.no_grad()
    def update(self, parameters: dict[str, nn.Parameter], step: int) -> None:
        """Move towards the present values."""
        rate = 1 - min(self.decay, (1 + step) / (10 + step))
        names = list(self.values)
        torch._foreach_lerp_([self.values[n] for n in names], [parameters[n].detach() for n in names], rate)  # pyright: ignore[reportPrivateUsage]


def train_denoiser(
    work: Path, latents: torch.Tensor, tokenizer: CLIPTokenizer, plan: Plan
) -> tuple[UNet2DConditionModel, CLIPTextModel]:
    """Train, or go on training, for `plan.denoiser_steps`; return the averaged models."""
    torch.manual_seed(plan.seed)
    models = nn.ModuleDict({"unet": new_denoiser(), "text": new_text_encoder(tokenizer)})
    parameters = dict(models.named_parameters())
    average = Average(parameters, plan.ema)
    optimizer = torch.optim.AdamW(parameters.values(), lr=plan.phases[0].lr, betas=(0.9, 0.99), fused=True)
    path, first = work / "denoiser.pt", 0
    if saved := checkpoint.load(path):
        models.load_state_dict(saved["models"])
        optimizer.load_state_dict(saved["optimizer"])
        average.values, first = saved["average"], saved["step"]
    pictures, began, losses = scenes(plan), time.monotonic(), []
    alphas = DDPMScheduler(**SCHEDULER).alphas_cumprod
    for step in range(first, plan.denoiser_steps):
        phase, place = plan.phase_at(step)
        for group in optimizer.param_groups:
            group["lr"] = phase.lr * plan.decay(place, phase.steps)
        loss = _loss(models, _batch(latents, pictures, tokenizer, plan, step), alphas)
        optimizer.zero_grad(set_to_none=True)
        loss.backward()
        nn.utils.clip_grad_norm_(models.parameters(), 1.0)
        optimizer.step()
        average.update(parameters, step)
        losses.append(loss.item())
        if (step + 1) % 100 == 0 or step + 1 == plan.denoiser_steps:
            plan.say(f"denoiser {step + 1}/{plan.denoiser_steps} loss {np.mean(losses):.4f}", began)
            losses.clear()
            state = {"models": models.state_dict(), "optimizer": optimizer.state_dict()}
            checkpoint.save(path, state | {"average": average.values, "step": step + 1})
    models.load_state_dict(average.values, strict=False)
    return models["unet"].eval(), models["text"].eval()  # pyright: ignore[reportReturnType]


Batch = tuple[torch.Tensor, torch.Tensor, torch.Tensor, torch.Tensor]


def _batch(
    latents: torch.Tensor, pictures: list[Scene], tokenizer: CLIPTokenizer, plan: Plan, step: int
) -> Batch:
    """Return latents, token ids, timesteps and noise of one step: a function of plan and step."""
    rng = random.Random(f"{plan.seed} denoiser {step}")
    generator = torch.Generator().manual_seed(rng.getrandbits(63))
    phase = plan.phase_at(step)[0]
    chosen = [_choose(pictures, phase.plain, rng) for _ in range(plan.denoiser_batch)]
    words = ["" if rng.random() < plan.empty_captions else caption_of(pictures[i], rng) for i in chosen]
    ids = tokenizer(words, padding="max_length", max_length=MAX_LENGTH, truncation=True, return_tensors="pt")
    clean = latents[chosen].float()
    times = torch.randint(0, 1000, (len(chosen),), generator=generator)
    focused = torch.randint(*plan.focus_times, times.shape, generator=generator)
    is_focused = torch.rand(times.shape, generator=generator) < phase.focus
    times = torch.where(is_focused, focused, times)
    return clean, ids["input_ids"], times, torch.randn(clean.shape, generator=generator)  # pyright: ignore[reportReturnType]


def _choose(pictures: list[Scene], plain: float, rng: random.Random) -> int:
    """Return the index of a random picture, with probability ``plain`` of a plain shape."""
    must_be_plain = rng.random() < plain
    while True:
        index = rng.randrange(len(pictures))
        if pictures[index].is_plain_shape or not must_be_plain:
            return index


def _loss(models: nn.ModuleDict, batch: Batch, alphas: torch.Tensor) -> torch.Tensor:
    clean, ids, times, noise = batch
    alpha = alphas[times].view(-1, 1, 1, 1)
    noisy = alpha.sqrt() * clean + (1 - alpha).sqrt() * noise
    words = models["text"](ids).last_hidden_state
    predicted = models["unet"](noisy, times, words).sample
    return functional.mse_loss(predicted, alpha.sqrt() * noise - (1 - alpha).sqrt() * clean)
