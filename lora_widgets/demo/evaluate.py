"""How good the demo model is, and what a LoRA changed: ``python -m lora_widgets.demo.evaluate [LORA]``.

All figures come from rules on the pixels of generated pictures (`measure`, `subject`): 20 Euler steps, fixed
seeds. Without a LoRA: 200 captions that pre-training never showed. With one: 64 pictures with the trigger and
64 others, before and after.
"""

import argparse
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
from PIL import Image

from lora_widgets.adapters.attach import attach
from lora_widgets.adapters.keys import read_lora_file
from lora_widgets.config.training_config import TrainingConfig
from lora_widgets.demo.config import demo_config
from lora_widgets.demo.measure import scene_is_right, shape_is_right
from lora_widgets.demo.pictures import held_out_wishes
from lora_widgets.demo.subject import is_subject, poses
from lora_widgets.families.family import Family, open_family
from lora_widgets.training.randomness import generator_for
from lora_widgets.training.samples import Guidance, new_scheduler, sample_latents, to_image

STEPS, GUIDANCE, AT_ONCE = 20, 3.0, 32


@dataclass(frozen=True)
class Scores:
    """Shares of right pictures, 0 to 1: colour, background and place together; shape; the new subject."""

    scene: float
    shape: float
    subject: float


def open_demo(config: TrainingConfig) -> Family:
    """Return the demo's base model with all parts loaded."""
    family = open_family(config)
    for load in (family.vae.load, family.text.load, family.load_denoiser):
        load("cpu", torch.float32)
    return family


@torch.no_grad()
def generate(family: Family, captions: Sequence[str], *, seed: int) -> list[Image.Image]:
    """Return one picture for each caption; the same seed gives the same noise."""
    pictures: list[Image.Image] = []
    for start in range(0, len(captions), AT_ONCE):
        words = captions[start : start + AT_ONCE]
        scheduler = new_scheduler("euler", family.process)
        scheduler.set_timesteps(STEPS)
        generator = generator_for(seed, "evaluation", start)
        noise = torch.randn(len(words), family.vae.latent_channels, 16, 16, generator=generator)
        asked, unasked = (family.encode_text(text, skip=1) for text in (words, [""] * len(words)))
        guidance = Guidance(asked, unasked, GUIDANCE)
        latents = sample_latents(family, scheduler, noise, guidance=guidance, generator=generator)
        pictures += [to_image(pixels) for pixels in family.vae.decode(latents)]
    return pictures


def score_base(family: Family, *, count: int = 200, seed: int = 1) -> Scores:
    """Return how often captions are followed that were held out of pre-training."""
    wishes = held_out_wishes(count, seed)
    pictures = generate(family, [wish.caption for wish in wishes], seed=seed)
    pairs = list(zip(pictures, wishes, strict=True))
    return Scores(
        scene=_share(scene_is_right(*pair) for pair in pairs),
        shape=_share(shape_is_right(*pair) for pair in pairs),
        subject=_share(map(is_subject, pictures)),
    )


def score_subject(family: Family, *, count: int = 64, seed: int = 2) -> float:
    """Return how often one of up to 90 pictures asked for with the trigger shows the new subject."""
    captions = [pose.caption for pose in poses(30, seed)] * 3
    return _share(map(is_subject, generate(family, captions[:count], seed=seed)))


def score_lora(config: TrainingConfig, lora: Path, *, count: int = 64) -> dict[str, tuple[float, float]]:
    """Return shares before and with a LoRA: the subject with its trigger; the rest for other captions.

    ``count`` pictures are drawn of either kind, twice.
    """
    family = open_demo(config)
    adapter = attach(family, config, generator=generator_for(0, "adapter"))
    adapter.load_tensors(read_lora_file(lora)[0], source=str(lora))
    adapter.mode(training=False)
    with adapter.disabled():
        subject_before, before = score_subject(family, count=count), score_base(family, count=count)
    subject_after, after = score_subject(family, count=count), score_base(family, count=count)
    return {
        "subject with its trigger": (subject_before, subject_after),
        "subject without it": (before.subject, after.subject),
        "colour, background, place": (before.scene, after.scene),
        "shape": (before.shape, after.shape),
    }


def _share(found: Iterable[bool]) -> float:
    values = list(found)
    return sum(values) / len(values)


def main() -> None:
    """Print the scores of the base model, or of a LoRA."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("lora", type=Path, nargs="?")
    parser.add_argument("--model", default="demo", help="another model folder of the same kind")
    options = parser.parse_args()
    config = demo_config(pretrained_model_name_or_path=options.model)
    if options.lora:
        for name, (before, after) in score_lora(config, options.lora).items():
            print(f"{name:<28} before {before:6.1%}   after {after:6.1%}")  # noqa: T201
    else:
        scores = score_base(open_demo(config))
        print(f"colour, background, place {scores.scene:.1%}   shape {scores.shape:.1%}")  # noqa: T201


if __name__ == "__main__":
    main()
