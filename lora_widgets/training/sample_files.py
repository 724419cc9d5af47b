"""Sample pictures as files that say how they were drawn, in the words that other programs read."""

import time
from dataclasses import dataclass
from pathlib import Path

from PIL import Image
from PIL.PngImagePlugin import PngInfo

from lora_widgets.config.prompts import Prompt

PARAMETERS = "parameters"
"""The text of a PNG file that AUTOMATIC1111's and many other programs read."""


@dataclass(frozen=True)
class Drawn:
    """How a picture was made: its prompt, the sampler and seed in effect, and the adapter after a step."""

    prompt: Prompt
    sampler: str
    seed: int
    stem: str
    step: int

    def __str__(self) -> str:
        """Say it as AUTOMATIC1111's program does; there is no path in it."""
        prompt = self.prompt
        figures = {
            "Steps": prompt.steps,
            "Sampler": self.sampler,
            "CFG scale": f"{prompt.scale:g}",
            "Distilled CFG Scale": None if prompt.guidance is None else f"{prompt.guidance:g}",
            "Seed": self.seed,
            "Size": f"{prompt.width}x{prompt.height}",
            "LoRA": f"{self.stem} at step {self.step}",
        }
        negative = f"\nNegative prompt: {prompt.negative}" if prompt.negative else ""
        said = ", ".join(f"{name}: {value}" for name, value in figures.items() if value is not None)
        return f"{prompt.text}{negative}\n{said}"


def write_sample(picture: Image.Image, folder: Path, drawn: Drawn, *, index: int) -> Path:
    """Write the picture of prompt ``index`` as a PNG file and return its path.

    Raises:
        OSError: the disk is full, or the folder cannot be written.
    """
    folder.mkdir(parents=True, exist_ok=True)
    stamp = time.strftime("%Y%m%d%H%M%S")
    path = folder / f"{drawn.stem}_{drawn.step:06d}_{index:02d}_{stamp}_{drawn.seed}.png"
    info = PngInfo()
    # A prompt from a .json file can hold lone surrogates, which no file can.
    info.add_itxt(PARAMETERS, str(drawn).encode("utf-8", "replace").decode("utf-8"))
    picture.save(path, pnginfo=info)
    return path
