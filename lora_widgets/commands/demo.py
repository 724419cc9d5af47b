"""``lora-widgets demo``: train on the embedded model and pictures, and leave pictures of what was learned."""

import argparse
import time
from pathlib import Path
from typing import TYPE_CHECKING, TextIO

if TYPE_CHECKING:
    from lora_widgets.training.run import Run

NEXT_STEPS = """\
How to go on:
  open the notebook            lora-widgets lab
  see what can be set          lora-widgets settings
  train on your own pictures   write your settings into my.toml, then
                               lora-widgets check my.toml && lora-widgets train my.toml
"""


def run(options: argparse.Namespace, out: TextIO) -> int:
    """Train the demo in a new folder below the working directory; return 0."""
    began = time.perf_counter()
    print("Loading PyTorch and diffusers ...", file=out, flush=True)
    from lora_widgets.commands.running import run_to_end
    from lora_widgets.demo.config import demo_config
    from lora_widgets.training.run import Run  # noqa: F401 - for its own line in the split of time

    seconds = {"Import": time.perf_counter() - began}
    finished = run_to_end(demo_config(**({"max_train_steps": options.steps} if options.steps else {})), out)
    folder = Path(finished.config.output_dir)
    _write_pictures(finished, folder)
    seconds |= finished.phase_seconds
    print(summary(finished.files[-1], seconds, total=time.perf_counter() - began), file=out)
    return 0


def summary(weights: Path, seconds: dict[str, float], *, total: float) -> str:
    """Say what was made, where the time went, and how to go on."""
    split = "\n".join(f"  {name:<28} {spent:6.1f} s" for name, spent in seconds.items())
    return (
        f"\nMade in {weights.parent}:\n"
        f"  {'samples.png':<28} the same prompts before and after training\n"
        f"  {'loss.png':<28} the loss of every step\n"
        f"  {weights.name:<28} the LoRA\n"
        f"\nTime:\n{split}\n  {'in all':<28} {total:6.1f} s\n\n{NEXT_STEPS}"
    )


def _write_pictures(finished: "Run", folder: Path) -> None:
    from lora_widgets.demo.sheet import before_after
    from lora_widgets.widgets.picture import write_loss_picture

    before_after(finished.samples).save(folder / "samples.png")
    write_loss_picture(finished.history, folder / "loss.png")
