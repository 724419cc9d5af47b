"""Seconds per step and memory of every optimizer beside AdamW: ``python tests/bench/bench_optimizers.py``.

What is timed is the optimizer alone: its step, on the pairs of matrices of a LoRA of
rank 16. "tiny" has the layers of the demo's size, "mid" those of Stable Diffusion 1.5's attention. Every
optimizer takes its turn in each round, so that whatever else the machine does meets all of them; the ratio is
the median over the rounds. Memory is what the optimizer keeps, in bytes per trained number (AdamW: 8).
Options: ``--rounds``, ``--steps`` (per round), ``--case``, ``--device``, ``--only``.
"""

import argparse
import contextlib
import importlib.util
import io
import statistics
import sys
import time
import warnings
from pathlib import Path

import torch
from torch import nn

sys.path.insert(0, str(Path(__file__).parents[2]))

from lora_widgets.catalog.optimizers import OPTIMIZERS
from lora_widgets.config.training_config import TrainingConfig
from lora_widgets.training.optimizers import build_optimizer

RANK = 16
BLOCKS = {"tiny": (64,) * 8, "mid": (320,) * 5 + (640,) * 5 + (1280,) * 6}
"""Widths of the attention blocks; each has eight square layers, one of three times the width, and back."""
UNFUSED = "AdamW, not fused"


def new_parameters(case: str, device: str) -> dict[str, nn.Parameter]:
    g, named = torch.Generator().manual_seed(0), {}
    for block, width in enumerate(BLOCKS[case]):
        for layer, (inner, outer) in enumerate(
            [(width, width)] * 8 + [(width, 3 * width), (3 * width, width)]
        ):
            down, up = torch.randn(RANK, inner, generator=g), torch.randn(outer, RANK, generator=g)
            named[f"{block}.{layer}.lora_down"] = nn.Parameter(down.to(device) / 10)
            named[f"{block}.{layer}.lora_up"] = nn.Parameter(up.to(device) / 10)
    return named


class Candidate:
    """One optimizer with parameters of its own."""

    def __init__(self, name: str, case: str, device: str) -> None:
        row = OPTIMIZERS["AdamW" if name == UNFUSED else name]
        config = TrainingConfig(
            project_name="bench",
            pretrained_model_name_or_path="demo",
            train_data_dir="demo",
            output_dir="out",
            optimizer_type=row.name,
            optimizer_args="fused=False" if name == UNFUSED else None,
            unet_lr=row.usual[0],
            text_encoder_lr=0,
        )
        named = new_parameters(case, device)
        self.device, self.parameters = device, list(named.values())
        with contextlib.redirect_stdout(io.StringIO()):  # some classes print what they are
            self.optimizer = build_optimizer(config, {"unet": named})
        self.steps(3)

    def steps(self, count: int) -> float:
        """Return the seconds of one step; the gradients are those of a valley, so that nothing runs away."""
        seconds = 0.0
        for _ in range(count):
            for parameter in self.parameters:
                parameter.grad = parameter.detach() / 100
            self.wait()
            began = time.perf_counter()
            self.optimizer.step()
            self.wait()
            seconds += time.perf_counter() - began
        return seconds / count

    def wait(self) -> None:
        if self.device == "cuda":
            torch.cuda.synchronize()

    def bytes_per_number(self) -> float:
        tensors = [
            t for s in self.optimizer.state.values() for t in s.values() if isinstance(t, torch.Tensor)
        ]
        return sum(t.numel() * t.element_size() for t in tensors) / sum(p.numel() for p in self.parameters)


def is_there(name: str) -> bool:
    return importlib.util.find_spec(OPTIMIZERS[name].import_path.partition(".")[0]) is not None


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=9)
    parser.add_argument("--steps", type=int, default=5)
    parser.add_argument("--case", choices=tuple(BLOCKS), action="append")
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--only", nargs="*", default=[])
    options = parser.parse_args()
    warnings.simplefilter("ignore")
    names = [name for name in OPTIMIZERS if is_there(name) and name in (options.only or OPTIMIZERS)]
    for case in options.case or BLOCKS:
        candidates = {name: Candidate(name, case, options.device) for name in ("AdamW", UNFUSED, *names)}
        rounds = [
            {name: candidate.steps(options.steps) for name, candidate in candidates.items()}
            for _ in range(options.rounds)
        ]
        count = sum(p.numel() for p in candidates["AdamW"].parameters)
        print(f"{case}: {count / 1e6:.2f} million numbers in {len(candidates['AdamW'].parameters)} tensors")
        for name, candidate in candidates.items():
            seconds = statistics.median(one[name] for one in rounds)
            ratio = statistics.median(one[name] / one["AdamW"] for one in rounds)
            memory = candidate.bytes_per_number()
            print(
                f"  {name:24} {seconds * 1e3:8.2f} ms  {ratio:6.2f} x AdamW  {memory:5.2f} bytes per number"
            )


if __name__ == "__main__":
    main()
