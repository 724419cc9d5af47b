"""Seconds per step of the engine beside a bare loop, in one process: ``python tests/bench/bench_steps.py``.

The bare loop has the same UNet, cached latents and text, plain LoRA modules, forward, backward, clip, fused
AdamW, and nothing else. Both run in alternating blocks, so that whatever else the machine does meets both.
Cases: "demo" is the embedded model (64 px, batch 8), "mid" a random UNet of about 50 million parameters
(256 px, batch 2). Options: ``--blocks``, ``--steps`` (per block), ``--case``.
"""

import argparse
import statistics
import tempfile
import time
from pathlib import Path

import numpy as np
import torch
from diffusers import AutoencoderKL, DDPMScheduler, StableDiffusionPipeline, UNet2DConditionModel
from PIL import Image
from torch import nn
from torch.nn import functional
from transformers import CLIPTokenizer

from lora_widgets.adapters.targets import targets
from lora_widgets.config.training_config import TrainingConfig
from lora_widgets.demo.config import demo_config
from lora_widgets.demo.paths import model_folder
from lora_widgets.demo.pretrain.denoiser import new_text_encoder
from lora_widgets.events import StepDone
from lora_widgets.families.family import Root
from lora_widgets.training.start import iter_training

RANK = 16
SHARED = {
    "text_encoder_lr": 0.0,
    "cache_text_encoder_outputs": True,
    "sample_every_n_steps": 0,
    "min_snr_gamma_enabled": False,
    "max_train_steps": 1_000_000,
}


class PlainLoRA(nn.Module):
    """What a tutorial would write."""

    def __init__(self, layer: nn.Linear | nn.Conv2d) -> None:
        super().__init__()
        self.base = layer.forward
        if isinstance(layer, nn.Linear):
            self.down = nn.Linear(layer.in_features, RANK, bias=False)
            self.up = nn.Linear(RANK, layer.out_features, bias=False)
        else:
            self.down = nn.Conv2d(layer.in_channels, RANK, 1, bias=False)
            self.up = nn.Conv2d(RANK, layer.out_channels, 1, bias=False)
        nn.init.zeros_(self.up.weight)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.base(x) + self.up(self.down(x))


class BareLoop:
    """The least a LoRA training can do."""

    def __init__(self, folder: Path, *, batch: int, pixels: int) -> None:
        self.unet = UNet2DConditionModel.from_pretrained(folder, subfolder="unet", torch_dtype=torch.float32)
        self.unet.requires_grad_(False).eval()
        adapters = []
        for target in targets(Root(self.unet, "lora_unet")):
            adapters.append(PlainLoRA(target.layer))
            target.module.forward = adapters[-1].forward
        self.parameters = [p for adapter in adapters for p in adapter.parameters()]
        self.optimizer = torch.optim.AdamW(self.parameters, lr=1e-4, fused=True)
        self.alphas = DDPMScheduler.from_pretrained(folder, subfolder="scheduler").alphas_cumprod
        vae = AutoencoderKL.load_config(folder, subfolder="vae")
        side = pixels // 2 ** (len(vae["block_out_channels"]) - 1)
        self.latents = torch.randn(batch, 4, side, side)
        self.text = torch.randn(batch, 77, self.unet.config.cross_attention_dim)

    def step(self) -> None:
        noise, times = torch.randn_like(self.latents), torch.randint(0, 1000, (len(self.latents),))
        alpha = self.alphas[times].view(-1, 1, 1, 1)
        noisy = alpha.sqrt() * self.latents + (1 - alpha).sqrt() * noise
        prediction = self.unet(noisy, times, encoder_hidden_states=self.text, return_dict=False)[0]
        functional.mse_loss(prediction, noise).backward()
        nn.utils.clip_grad_norm_(self.parameters, 1.0)
        self.optimizer.step()
        self.optimizer.zero_grad(set_to_none=True)


class EngineSteps:
    """Our engine, as its users run it, one step at a time."""

    def __init__(self, config: TrainingConfig) -> None:
        self.events = iter_training(config)

    def step(self) -> None:
        while not isinstance(next(self.events), StepDone):
            pass


def demo_case(work: Path) -> tuple[BareLoop, EngineSteps]:
    config = demo_config(output_dir=str(work / "demo"), **SHARED)
    return BareLoop(model_folder(), batch=config.train_batch_size, pixels=64), EngineSteps(config)


def mid_case(work: Path) -> tuple[BareLoop, EngineSteps]:
    folder, pictures = work / "model", work / "pictures" / "10_thing"
    make_mid_model(folder)
    pictures.mkdir(parents=True)
    rng = np.random.default_rng(0)
    for number in range(4):
        Image.fromarray(rng.integers(0, 255, (256, 256, 3), dtype=np.uint8)).save(pictures / f"{number}.png")
        (pictures / f"{number}.txt").write_text("a thing", encoding="utf-8")
    config = demo_config(
        output_dir=str(work / "mid"),
        pretrained_model_name_or_path=str(folder),
        train_data_dir=str(work / "pictures"),
        resolution=256,
        max_bucket_reso=256,
        train_batch_size=2,
        **SHARED,
    )
    return BareLoop(folder, batch=2, pixels=256), EngineSteps(config)


def make_mid_model(folder: Path) -> None:
    """Write a model with random weights whose UNet has about 50 million parameters."""
    torch.manual_seed(0)
    tokenizer = CLIPTokenizer.from_pretrained(model_folder() / "tokenizer")
    text_encoder = new_text_encoder(tokenizer)
    unet = UNet2DConditionModel(
        sample_size=32,
        layers_per_block=1,
        block_out_channels=(128, 256, 416),
        down_block_types=("CrossAttnDownBlock2D", "CrossAttnDownBlock2D", "CrossAttnDownBlock2D"),
        up_block_types=("CrossAttnUpBlock2D", "CrossAttnUpBlock2D", "CrossAttnUpBlock2D"),
        cross_attention_dim=text_encoder.config.hidden_size,
        attention_head_dim=8,
    )
    vae = AutoencoderKL(
        block_out_channels=(16, 16, 16, 16),
        down_block_types=("DownEncoderBlock2D",) * 4,
        up_block_types=("UpDecoderBlock2D",) * 4,
        latent_channels=4,
        norm_num_groups=4,
    )
    print(f"mid UNet: {sum(p.numel() for p in unet.parameters()) / 1e6:.1f} million parameters")
    parts = {"vae": vae, "text_encoder": text_encoder, "tokenizer": tokenizer, "unet": unet}
    extras = {"safety_checker": None, "feature_extractor": None, "requires_safety_checker": False}
    schedule = DDPMScheduler(beta_schedule="scaled_linear", beta_start=0.00085, beta_end=0.012)
    StableDiffusionPipeline(**parts, scheduler=schedule, **extras).save_pretrained(folder)


def seconds_per_step(loop: BareLoop | EngineSteps, steps: int) -> float:
    began = time.perf_counter()
    for _ in range(steps):
        loop.step()
    return (time.perf_counter() - began) / steps


def compare(name: str, bare: BareLoop, engine: EngineSteps, *, blocks: int, steps: int) -> None:
    """Print both medians and the median and spread of the ratio of neighbouring blocks."""
    for loop in (bare, engine):
        seconds_per_step(loop, 3)
    pairs = []
    for block in range(blocks):
        order = (bare, engine) if block % 2 == 0 else (engine, bare)
        taken = {id(loop): seconds_per_step(loop, steps) for loop in order}
        pairs.append((taken[id(bare)], taken[id(engine)]))
    ratios = sorted(ours / theirs for theirs, ours in pairs)
    print(
        f"{name}: bare {statistics.median(p[0] for p in pairs) * 1e3:.1f} ms/step, "
        f"engine {statistics.median(p[1] for p in pairs) * 1e3:.1f} ms/step, "
        f"ratio median {statistics.median(ratios):.3f} (min {ratios[0]:.3f}, max {ratios[-1]:.3f}, "
        f"{blocks} blocks)"
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--blocks", type=int, default=7)
    parser.add_argument("--steps", type=int, default=20)
    parser.add_argument("--case", choices=("demo", "mid"), action="append")
    options = parser.parse_args()
    torch.set_num_threads(2)
    for name in options.case or ("demo", "mid"):
        steps = options.steps if name == "demo" else max(3, options.steps // 5)
        with tempfile.TemporaryDirectory() as work:
            bare, engine = (demo_case if name == "demo" else mid_case)(Path(work))
            compare(name, bare, engine, blocks=options.blocks, steps=steps)
            engine.events.close()


if __name__ == "__main__":
    main()
