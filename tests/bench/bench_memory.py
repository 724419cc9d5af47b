"""Peak memory of each phase of a run on a model of real size: ``python tests/bench/bench_memory.py``.

Random weights in the shapes of Stable Diffusion 1.5 (UNet 860, text encoder 123, VAE 84 million parameters)
are written into a temporary folder; the run happens in a process of its own. Beside each peak stand how much
of it is code of libraries that Linux read from their files meanwhile, the weights that are resident in that
phase, and the estimate. Options: ``--precision`` (no, bf16), ``--pixels``, ``--checkpointing``, ``--folder``
(keep the model there), ``--set NAME=VALUE`` (further settings), ``--again`` (run a second time, when the
estimate knows what the first run took).
"""

import argparse
import shutil
import subprocess
import sys
import tempfile
from importlib import import_module
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import torch
from PIL import Image

sys.path.insert(0, str(Path(__file__).parents[2]))

from lora_widgets.config.steps import steps_of
from lora_widgets.config.training_config import TrainingConfig
from lora_widgets.data.base_model import base_model_facts
from lora_widgets.data.facts import facts_for
from lora_widgets.demo.paths import model_folder
from lora_widgets.events import MemoryPeak, StepDone
from lora_widgets.training import prepare
from lora_widgets.training.memory_peaks import PeakMeter
from lora_widgets.training.start import iter_training

SETTINGS = {
    "project_name": "memory",
    "model_type": "SD1.5",
    "network_dim": 16,
    "network_alpha": 8,
    "text_encoder_lr": 0.0,
    "optimizer_type": "AdamW",
    "max_train_steps": 3,
    "cache_latents": True,
    "cache_text_encoder_outputs": True,
    "shuffle_caption": False,
    "clip_skip": 1,
    "save_every_n_epochs": 0,
    "sample_every_n_steps": 3,
    "sample_at_first": False,
}


IMPORTED = (
    "lora_widgets.families.sd15",
    "diffusers.models.unets.unet_2d_condition",
    "diffusers.models.autoencoders.autoencoder_kl",
    "transformers.models.clip.modeling_clip",
)


def write_model(folder: Path) -> None:
    """Write random weights in fp16, as most downloads are, with the demo's tokenizer."""
    from diffusers import AutoencoderKL, DDPMScheduler, UNet2DConditionModel
    from transformers import CLIPTextConfig, CLIPTextModel

    torch.manual_seed(0)
    sizes = {
        "hidden_size": 768,
        "intermediate_size": 3072,
        "num_hidden_layers": 12,
        "num_attention_heads": 12,
    }
    makers = {
        "unet": lambda: UNet2DConditionModel(sample_size=64, cross_attention_dim=768, attention_head_dim=8),
        "vae": lambda: AutoencoderKL(
            block_out_channels=(128, 256, 512, 512),
            down_block_types=("DownEncoderBlock2D",) * 4,
            up_block_types=("UpDecoderBlock2D",) * 4,
            layers_per_block=2,
        ),
        "text_encoder": lambda: CLIPTextModel(CLIPTextConfig(vocab_size=49408, **sizes)),
    }
    for name, make in makers.items():
        make().half().save_pretrained(folder / name)
    DDPMScheduler(beta_schedule="scaled_linear", beta_start=0.00085, beta_end=0.012).save_pretrained(
        folder / "scheduler"
    )
    shutil.copytree(model_folder() / "tokenizer", folder / "tokenizer")
    shutil.copy(model_folder() / "model_index.json", folder)


def write_pictures(folder: Path, pixels: int) -> None:
    rng = np.random.default_rng(0)
    (folder / "1_thing").mkdir(parents=True)
    for number in range(4):
        picture = Image.fromarray(rng.integers(0, 255, (pixels, pixels, 3), dtype=np.uint8))
        picture.save(folder / "1_thing" / f"{number}.png")
        (folder / "1_thing" / f"{number}.txt").write_text("a thing", encoding="utf-8")


def config_of(work: Path, options: argparse.Namespace) -> TrainingConfig:
    places = {
        "pretrained_model_name_or_path": str(options.folder or work / "model"),
        "train_data_dir": str(work / "pictures"),
        "output_dir": str(work / "out"),
        "cache_dir": str(work / "cache"),  # which knows of no earlier run
    }
    values = {
        "resolution": options.pixels,
        "min_bucket_reso": 64,
        "mixed_precision": options.precision,
        "gradient_checkpointing": options.checkpointing,
        "sample_prompts": f"a thing --w {options.pixels} --h {options.pixels} --s 2 --n nothing",
    }
    further = dict(pair.split("=", 1) for pair in options.set)
    return TrainingConfig(**SETTINGS, **places, **values).with_changes(**further)


def code_bytes() -> int:
    """Return the bytes of libraries' code that are in memory; Linux reads it when it is first used."""
    total, is_code = 0, False
    for line in Path("/proc/self/smaps").read_text().splitlines():
        if line.startswith("Rss:"):
            total += 1024 * int(line.split()[1]) * is_code
        elif "-" in line.split()[0]:
            is_code = ".so" in line
    return total


class MeterOfCode(PeakMeter):
    """Notes, too, how much code each phase found that was not in memory when the measuring began."""

    at_first = 0
    until: ClassVar[dict[str, int]] = {}

    def __init__(self, *args: Any) -> None:
        MeterOfCode.at_first = code_bytes()
        super().__init__(*args)

    def take(self, phase: str) -> None:
        super().take(phase)
        self.until[phase] = code_bytes() - self.at_first


def run(work: Path, options: argparse.Namespace) -> None:
    """Train, and print what each phase took."""
    for module in IMPORTED:
        import_module(module)  # what is imported on the way is not measured
    config = config_of(work, options)
    model, found = base_model_facts(dict(config)), facts_for(config).facts
    assert model is not None
    number = 4 if options.precision == "no" else 2
    resident = {
        "Encoding captions": model.text_encoder.numbers,
        "Encoding pictures": model.vae.numbers,
        "Loading the denoiser": model.denoiser.numbers,
        "Training": model.denoiser.numbers,
        "Drawing samples": model.denoiser.numbers + model.vae.numbers,
    }
    print(f"{options.precision}, {options.pixels} px, batch {config.train_batch_size}, ", end="")
    print(f"checkpointing {config.gradient_checkpointing}, {steps_of(config, found)}")
    seconds, prepare.PeakMeter = [], MeterOfCode
    for event in iter_training(config):
        if isinstance(event, StepDone):
            seconds.append(event.seconds)
        if isinstance(event, MemoryPeak):
            weights = resident[event.phase] * number
            expected = event.estimated_bytes
            beside = (
                f", estimate {expected / 1e6:6.0f}, off by {expected / event.peak_bytes - 1:+.1%}"
                if expected
                else ""
            )
            code = MeterOfCode.until[event.phase]
            print(
                f"{event.phase:22} peak {event.peak_bytes / 1e6:6.0f} MB, {code / 1e6:3.0f} of it code, "
                f"weights {weights / 1e6:6.0f}, ratio {event.peak_bytes / weights:.2f}, "
                f"without the code {(event.peak_bytes - code) / weights:.2f}{beside}",
                flush=True,
            )
    print("seconds of the steps:", ", ".join(f"{s:.1f}" for s in seconds))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--precision", choices=("no", "bf16"), default="bf16")
    parser.add_argument("--pixels", type=int, default=256)
    parser.add_argument("--checkpointing", action="store_true")
    parser.add_argument("--folder", type=Path)
    parser.add_argument("--again", action="store_true")
    parser.add_argument("--set", action="append", default=[])
    parser.add_argument("--inside", type=Path, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.inside:
        run(options.inside, options)
        return
    with tempfile.TemporaryDirectory() as folder:
        work, model = Path(folder), options.folder or Path(folder) / "model"
        if not model.exists():
            write_model(model)
        write_pictures(work / "pictures", options.pixels)
        for _ in range(2 if options.again else 1):
            shutil.rmtree(work / "out", ignore_errors=True)
            subprocess.run([sys.executable, __file__, *sys.argv[1:], "--inside", folder], check=True)


if __name__ == "__main__":
    main()
