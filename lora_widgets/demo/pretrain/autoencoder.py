"""Stage 1: the autoencoder, on scenes half of which have colours at random."""

# diffusers and transformers annotate their own classes too narrowly (a tuple of one for block sizes).
# pyright: reportPrivateImportUsage=false, reportArgumentType=false, reportAttributeAccessIssue=false

import math
import random
import time
from pathlib import Path

import numpy as np
import torch
from diffusers import AutoencoderKL
from torch.nn import functional

from lora_widgets.demo.drawing import draw
from lora_widgets.demo.pictures import Scene, random_colours, random_scene
from lora_widgets.demo.pretrain import checkpoint
from lora_widgets.demo.pretrain.plan import Plan

SPREAD = 0.1
"""Standard deviation of the posterior; latents themselves have about 1 to 3."""


def new_autoencoder() -> AutoencoderKL:
    """Return SD1.5's autoencoder in miniature: 64 px to 4 x 16 x 16 latents."""
    return AutoencoderKL(
        block_out_channels=(32, 32, 64),
        down_block_types=("DownEncoderBlock2D",) * 3,
        up_block_types=("UpDecoderBlock2D",) * 3,
        layers_per_block=1,
        latent_channels=4,
        norm_num_groups=8,
        sample_size=64,
    )


def picture_batch(seed: int, step: int, size: int) -> torch.Tensor:
    """Return (size, 3, 64, 64) pixels in [-1, 1] of step ``step``, every third one in random colours."""
    return pixels([np.asarray(draw(scene)) for scene in _scenes(seed, step, size)])


def detail_batch(seed: int, step: int, size: int) -> torch.Tensor:
    """Return (size, 3, 32, 32) cuttings around the things of a scene: a quarter of the work."""
    rng, cuttings = random.Random(f"{seed} cuttings {step}"), []
    for scene in _scenes(seed, step, size):
        centre = rng.choice(scene.things).centre
        left, top = (int(min(32, max(0, c - 16 + rng.randint(-10, 10)))) for c in centre)
        cuttings.append(np.asarray(draw(scene))[top : top + 32, left : left + 32])
    return pixels(cuttings)


def _scenes(seed: int, step: int, size: int) -> list[Scene]:
    rng = random.Random(f"{seed} autoencoder {step}")
    scenes = [random_scene(rng) for _ in range(size)]
    return [s if i % 3 else random_colours(s, rng) for i, s in enumerate(scenes)]


def pixels(pictures: list[np.ndarray]) -> torch.Tensor:
    """Return (B, 3, H, W) floats in [-1, 1] of (H, W, 3) bytes."""
    return torch.from_numpy(np.stack(pictures)).permute(0, 3, 1, 2).float() / 127.5 - 1


def train_autoencoder(work: Path, plan: Plan) -> AutoencoderKL:
    """Train, or go on training, for `plan.autoencoder_steps`; then set the latent scale to unit variance."""
    torch.manual_seed(plan.seed)
    model = new_autoencoder()
    optimizer = torch.optim.AdamW(model.parameters(), lr=plan.autoencoder_lr, betas=(0.9, 0.99), fused=True)
    generator, path, first = torch.Generator(), work / "autoencoder.pt", 0
    if saved := checkpoint.load(path):
        model.load_state_dict(saved["model"])
        optimizer.load_state_dict(saved["optimizer"])
        first = saved["step"]
    began = time.monotonic()
    for step in range(first, plan.autoencoder_steps):
        for group in optimizer.param_groups:
            group["lr"] = plan.autoencoder_lr * plan.decay(step, plan.autoencoder_steps)
        make_batch = detail_batch if step < plan.detail_steps else picture_batch
        batch = make_batch(plan.seed, step, plan.autoencoder_batch)
        loss = _loss(model, batch, generator.manual_seed(step))
        optimizer.zero_grad(set_to_none=True)
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        if (step + 1) % 100 == 0 or step + 1 == plan.autoencoder_steps:
            plan.say(f"autoencoder {step + 1}/{plan.autoencoder_steps} loss {loss.item():.4f}", began)
            state = {"model": model.state_dict(), "optimizer": optimizer.state_dict(), "step": step + 1}
            checkpoint.save(path, state)
    model.register_to_config(scaling_factor=_scale(model.eval(), plan))
    return model


def _loss(model: AutoencoderKL, batch: torch.Tensor, generator: torch.Generator) -> torch.Tensor:
    """Return pixel and edge errors at a fixed spread of the posterior; a learned one takes long."""
    posterior = model.encode(batch).latent_dist
    noise = torch.randn(posterior.mean.shape, generator=generator)
    drawn = model.decode(posterior.mean + SPREAD * noise).sample
    edges = sum(
        functional.l1_loss(drawn.diff(dim=axis), batch.diff(dim=axis)) for axis in (2, 3)
    )  # edges keep small parts crisp, where a plain pixel loss blurs them
    spread = (posterior.logvar - 2 * math.log(SPREAD)).square().mean()
    size = posterior.mean.square().mean()
    error = functional.l1_loss(drawn, batch) + functional.mse_loss(drawn, batch) + edges
    return error + 1e-3 * size + 1e-2 * spread


@torch.no_grad()
def _scale(model: AutoencoderKL, plan: Plan) -> float:
    latents = model.encode(picture_batch(plan.seed, -1, 128)).latent_dist.mean
    return round(1.0 / latents.std().item(), 5)
