"""Time to save an adapter of 200 MB, beside the library's own writing and one pass of hashing.

Run ``python tests/bench/bench_saving.py``; the smallest of five times of each is shown. Reading the file
back and comparing it, which every save does, is measured apart.
"""

import hashlib
import sys
import tempfile
import time
from pathlib import Path

import torch
from safetensors.torch import save_file

sys.path.insert(0, str(Path(__file__).parents[2]))

from lora_widgets.lora_files.dialects import grouped, in_dialect
from lora_widgets.lora_files.safetensors_file import write_tensors
from lora_widgets.training.export import _reads_as, write_weights

MODULES, RANK, WIDTH = 400, 50, 2560
ROUNDS = 5


def adapter() -> dict[str, torch.Tensor]:
    """Return 200 MB of fp16 in as many tensors as a large LoRA has."""
    torch.manual_seed(0)
    tensors = {}
    for number in range(MODULES):
        name = f"lora_unet_down_blocks_{number}_attentions_0_proj_in"
        tensors[f"{name}.lora_down.weight"] = torch.randn(RANK, WIDTH).half()
        tensors[f"{name}.lora_up.weight"] = torch.randn(WIDTH, RANK).half()
        tensors[f"{name}.alpha"] = torch.tensor(1.0).half()
    return tensors


def best(work) -> float:
    times = []
    for _ in range(ROUNDS):
        began = time.perf_counter()
        work()
        times.append(time.perf_counter() - began)
    return min(times)


def main() -> None:
    tensors, metadata = adapter(), {"ss_network_dim": str(RANK)}
    size = sum(tensor.nbytes for tensor in tensors.values())
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "x.safetensors"
        library = best(lambda: save_file(tensors, path, metadata))
        content = path.read_bytes()
        hashing = best(lambda: hashlib.sha256(content).hexdigest())
        ours = best(lambda: write_tensors(path, tensors, metadata))
        whole = best(lambda: write_weights(path, tensors, metadata, dtype=torch.float16))
        reading = best(lambda: _reads_as(path, tensors))
        renaming = best(lambda: in_dialect(grouped(tensors), "diffusers", family="SD1.5"))
    print(f"{size / 1e6:.0f} MB in {len(tensors)} tensors, torch {torch.__version__}")
    print(f"save_file of the library  {library * 1e3:6.0f} ms")
    print(f"one pass of SHA-256       {hashing * 1e3:6.0f} ms")
    print(f"ours, with hashes, synced {ours * 1e3:6.0f} ms: {ours / (library + hashing):.2f} of the two")
    saving = whole - reading
    print(f"reading back, compared    {reading * 1e3:6.0f} ms")
    print(f"all of a save but that    {saving * 1e3:6.0f} ms: {saving / (library + hashing):.2f} of the two")
    print(f"naming as diffusers does   {renaming * 1e3:.0f} ms")


if __name__ == "__main__":
    main()
