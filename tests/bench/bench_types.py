"""Seconds per step of each adapter type beside plain LoRA: ``python tests/bench/bench_types.py``.

Forward, backward and fused AdamW of the embedded model's UNet with 16 latents of 8x8, in one process and all
types in alternating rounds, so that whatever else the machine does meets all. Option: ``--rounds``.
"""

import argparse
import statistics
import time
from pathlib import Path

import torch

from lora_widgets.adapters.attach import attach
from lora_widgets.catalog.lora_types import LORA_TYPES
from lora_widgets.demo.config import demo_config
from lora_widgets.families.family import open_family


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=8)
    rounds = parser.parse_args().rounds
    seconds: dict[str, list[float]] = {name: [] for name in LORA_TYPES}
    sizes = {}
    for _ in range(rounds):
        for name in LORA_TYPES:
            taken, sizes[name] = step_of(name)
            seconds[name].append(taken)
    plain = statistics.median(seconds["LoRA"])
    for name, taken in seconds.items():
        median = statistics.median(taken)
        print(
            f"{name:20} {median * 1000:7.1f} ms  {median / plain:5.2f} of LoRA  {sizes[name]:>10,} parameters"
        )


def step_of(name: str) -> tuple[float, int]:
    """Return the seconds of the second of two steps, and the number of parameters."""
    config = demo_config(output_dir=str(Path("unused")), lora_type=name, text_encoder_lr=0.0)
    family = FAMILIES.get("demo") or FAMILIES.setdefault("demo", opened(config))
    adapter = attach(family, config, generator=torch.Generator().manual_seed(0))
    parameters = [p for group in adapter.parameters_of().values() for p in group]
    optimizer = torch.optim.AdamW(parameters, lr=1e-4, fused=True)
    for _ in range(2):
        begun = time.perf_counter()
        answer = family.predict(NOISY, TIMES, TEXT[0], torch.zeros(16, 6))
        answer.square().mean().backward()
        optimizer.step()
        optimizer.zero_grad()
        taken = time.perf_counter() - begun
    adapter.detach()
    return taken, sum(p.numel() for p in parameters)


def opened(config):
    family = open_family(config)
    family.text.load("cpu", torch.float32)
    family.load_denoiser("cpu", torch.float32)
    TEXT.append(family.encode_text(["a picture"] * 16, skip=1).detach())
    return family


FAMILIES, TEXT = {}, []
NOISY, TIMES = torch.randn(16, 4, 8, 8), torch.randint(0, 1000, (16,))


if __name__ == "__main__":
    main()
