"""Seconds per step of each family beside a bare loop: ``python tests/bench/bench_families.py``.

As `bench_steps`, with the denoisers of the four families: "tiny" ones of the tests, and "mid" ones with
random weights and 45 to 80 million parameters (128 px, batch 2). The bare loop calls diffusers' own model
with the same text and a plain LoRA at every layer that ours adapts. On a machine that others use as well,
``--clock cpu`` counts the seconds of this process alone, all its threads together. Further options:
``--blocks``, ``--steps`` (per block), ``--size``, ``--family``.
"""

import argparse
import json
import statistics
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image
from torch import Tensor, nn
from torch.nn import functional

sys.path.insert(0, str(Path(__file__).parents[2]))
sys.path.insert(1, str(Path(__file__).parents[1]))

from bench_steps import EngineSteps, PlainLoRA
from tiny import make_tiny

from lora_widgets.adapters.targets import targets
from lora_widgets.config.training_config import TrainingConfig
from lora_widgets.families.family import open_family

PIXELS, BATCH = {"tiny": 64, "mid": 128}, 2
CLOCKS = {"wall": time.perf_counter, "cpu": time.process_time}
WIDE = {"attention_head_dim": 64, "num_attention_heads": 8}
SD15 = {"block_out_channels": [96, 192, 320, 320]}
SDXL = {"block_out_channels": [128, 256, 384], "attention_head_dim": [2, 4, 6]}


@dataclass(frozen=True)
class Case:
    """A family: its tiny model, its denoiser's folder and class, and what makes the denoiser larger."""

    model: str
    part: str
    kind: str
    larger: dict[str, Any]


CASES = {
    "SD1.5": Case("sd15", "unet", "UNet2DConditionModel", SD15),
    "SDXL": Case("sdxl", "unet", "UNet2DConditionModel", SDXL),
    "SD3": Case(
        "sd3",
        "transformer",
        "SD3Transformer2DModel",
        {**WIDE, "num_layers": 5, "caption_projection_dim": 512},
    ),
    "Flux": Case(
        "flux-dev",
        "transformer",
        "FluxTransformer2DModel",
        {**WIDE, "num_layers": 3, "num_single_layers": 5, "axes_dims_rope": [16, 24, 24]},
    ),
}


class BareLoop:
    """The least a LoRA training of a family can do."""

    def __init__(self, config: TrainingConfig, case: Case, pixels: int) -> None:
        family = open_family(config)
        family.text.load("cpu", torch.float32)
        family.load_denoiser("cpu", torch.float32)
        with torch.no_grad():
            text = family.encode_text(["a thing"] * BATCH, skip=1)
        root = family.roots()["unet"]
        adapters = []
        for layer in (member.module for target in targets(root) for member in target.members):
            adapters.append(PlainLoRA(layer))
            layer.forward = adapters[-1].forward
        self.parameters = [p for adapter in adapters for p in adapter.parameters()]
        self.optimizer = torch.optim.AdamW(self.parameters, lr=1e-4, fused=True)
        side = pixels // family.vae.latent_factor
        self.latents = torch.randn(BATCH, family.vae.latent_channels, side, side)
        self.is_flow = family.process.prediction == "flow_prediction"
        self.predict = _CALLS[config.model_type](root.module, text)
        self.millions = sum(p.numel() for p in root.module.parameters() if not p.requires_grad) / 1e6

    def step(self) -> None:
        noise = torch.randn_like(self.latents)
        times = torch.rand(BATCH) * 1000
        share = (times / 1000).view(-1, 1, 1, 1)
        if self.is_flow:
            noisy, target = (1 - share) * self.latents + share * noise, noise - self.latents
        else:
            times, target = times.long(), noise
            noisy = (1 - share).sqrt() * self.latents + share.sqrt() * noise
        functional.mse_loss(self.predict(noisy, times), target).backward()
        nn.utils.clip_grad_norm_(self.parameters, 1.0)
        self.optimizer.step()
        self.optimizer.zero_grad(set_to_none=True)


def _unet(model: nn.Module, text: Any) -> Callable[[Tensor, Tensor], Tensor]:
    return lambda noisy, times: model(noisy, times, text.hidden, return_dict=False)[0]


def _sdxl(model: nn.Module, text: Any) -> Callable[[Tensor, Tensor], Tensor]:
    sizes = torch.tensor([[64.0, 64, 0, 0, 64, 64]] * BATCH)
    added = {"text_embeds": text.pooled, "time_ids": sizes}
    return lambda noisy, times: model(noisy, times, text.hidden, added_cond_kwargs=added, return_dict=False)[
        0
    ]


def _sd3(model: nn.Module, text: Any) -> Callable[[Tensor, Tensor], Tensor]:
    return lambda noisy, times: model(noisy, text.hidden, text.pooled, times, return_dict=False)[0]


def _flux(model: nn.Module, text: Any) -> Callable[[Tensor, Tensor], Tensor]:
    from diffusers import FluxPipeline

    words, guidance = torch.zeros(text.hidden.shape[1], 3), torch.ones(BATCH)

    def predict(noisy: Tensor, times: Tensor) -> Tensor:
        height, width = noisy.shape[2:]
        places = FluxPipeline._prepare_latent_image_ids(BATCH, height // 2, width // 2, "cpu", torch.float32)
        packed = FluxPipeline._pack_latents(noisy, *noisy.shape)
        found = model(
            packed,
            encoder_hidden_states=text.hidden,
            pooled_projections=text.pooled,
            timestep=times / 1000,
            img_ids=places,
            txt_ids=words,
            guidance=guidance,
            return_dict=False,
        )[0]
        return FluxPipeline._unpack_latents(found, height * 8, width * 8, 8)

    return predict


_CALLS = {"SD1.5": _unet, "SDXL": _sdxl, "SD3": _sd3, "Flux": _flux}


def config_of(name: str, size: str, work: Path) -> TrainingConfig:
    """Write the model and four pictures; return a plain configuration for them."""
    case, model = CASES[name], work / "model"
    make_tiny(case.model, model)
    if size == "mid":
        enlarge(model / case.part, case)
    pictures, rng = work / "pictures" / "100_thing", np.random.default_rng(0)
    pictures.mkdir(parents=True)
    for number in range(4):
        levels = rng.integers(0, 255, (PIXELS[size], PIXELS[size], 3), dtype=np.uint8)
        Image.fromarray(levels).save(pictures / f"{number}.png")
        (pictures / f"{number}.txt").write_text("a thing", encoding="utf-8")
    return TrainingConfig(
        project_name="bench",
        model_type=name,
        pretrained_model_name_or_path=str(model),
        train_data_dir=str(work / "pictures"),
        output_dir=str(work / "out"),
        resolution=PIXELS[size],
        min_bucket_reso=64,
        max_bucket_reso=PIXELS[size],
        train_batch_size=BATCH,
        max_train_steps=1_000_000,
        network_dim=16,
        network_alpha=16,
        text_encoder_lr=0.0,
        cache_text_encoder_outputs=True,
        cache_latents=True,
        shuffle_caption=False,
        t5xxl_max_token_length=64,
        clip_skip=1,
        optimizer_type="AdamW",
        mixed_precision="no",
        gradient_checkpointing=False,
        save_every_n_epochs=0,
        sample_every_n_epochs=0,
    )


def enlarge(folder: Path, case: Case) -> None:
    """Write a larger denoiser with random weights in place of the tiny one."""
    torch.manual_seed(0)
    config = json.loads((folder / "config.json").read_text()) | case.larger
    kind = getattr(import_module("diffusers"), case.kind)
    kind.from_config(config).save_pretrained(folder)


def seconds_per_step(loop: BareLoop | EngineSteps, steps: int, clock: Callable[[], float]) -> float:
    began = clock()
    for _ in range(steps):
        loop.step()
    return (clock() - began) / steps


def compare(name: str, size: str, *, blocks: int, steps: int, clock: Callable[[], float]) -> None:
    """Print the medians of both and of the ratio of neighbouring blocks."""
    with tempfile.TemporaryDirectory() as work:
        config = config_of(name, size, Path(work))
        bare, engine = BareLoop(config, CASES[name], PIXELS[size]), EngineSteps(config)
        for loop in (bare, engine):
            seconds_per_step(loop, 2, clock)
        pairs = []
        for block in range(blocks):
            order = (bare, engine) if block % 2 == 0 else (engine, bare)
            taken = {id(loop): seconds_per_step(loop, steps, clock) for loop in order}
            pairs.append((taken[id(bare)], taken[id(engine)]))
        engine.events.close()
    ratios = sorted(ours / theirs for theirs, ours in pairs)
    theirs, ours = (statistics.median(column) * 1e3 for column in zip(*pairs, strict=True))
    print(
        f"{name:6} {size:5} {bare.millions:6.1f} M  bare {theirs:8.1f} ms/step  engine {ours:8.1f}  "
        f"ratio {statistics.median(ratios):.3f} ({ratios[0]:.3f} to {ratios[-1]:.3f})",
        flush=True,
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--blocks", type=int, default=7)
    parser.add_argument("--steps", type=int, default=20)
    parser.add_argument("--size", choices=tuple(PIXELS), action="append")
    parser.add_argument("--family", choices=tuple(CASES), action="append")
    parser.add_argument("--clock", choices=tuple(CLOCKS), default="wall")
    options = parser.parse_args()
    for size in options.size or PIXELS:
        for name in options.family or CASES:
            steps = options.steps if size == "tiny" else max(3, options.steps // 5)
            compare(name, size, blocks=options.blocks, steps=steps, clock=CLOCKS[options.clock])


if __name__ == "__main__":
    main()
