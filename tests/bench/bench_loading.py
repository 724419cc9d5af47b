"""Memory and time of loading a UNet of Stable Diffusion's size: ``python tests/bench/bench_loading.py``.

It is written once in fp16, as a single file in LDM layout and as a diffusers folder (1.6 GiB each, in a
temporary folder). Each load runs in a process of its own; how much the peak of the resident memory grew is
told beside the size of the loaded model. A folder is read by diffusers, which maps its files: what is mapped
counts as resident, but the system can take it back.
"""

import argparse
import json
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import torch
from safetensors.torch import save_file

sys.path.insert(0, str(Path(__file__).parents[2]))
sys.path.insert(0, str(Path(__file__).parents[1]))

from tiny import tiny_tensors

from lora_widgets.families import native_names
from lora_widgets.families.part_classes import UNET
from lora_widgets.families.part_configs import embedded_configs
from lora_widgets.families.parts import FilePart, FolderPart, PartLayout
from lora_widgets.families.weight_file import find_weight_file
from lora_widgets.families.weights import Source

MODEL = "pretrained_model_name_or_path"
DTYPES = {"fp16": torch.float16, "bf16": torch.bfloat16, "fp32": torch.float32}
CONFIG = embedded_configs("sd15")["unet"]
MIB = 2**20


def write(folder: Path) -> None:
    """Write the UNet in both layouts."""
    tiny = {name: tuple(tensor.shape) for name, tensor in tiny_tensors("tiny-sd15.safetensors").items()}
    native = {name: piece.name for name, piece in native_names.ldm_unet(tiny, CONFIG).items()}
    shapes = {name: tensor.shape for name, tensor in UNET.without_memory(CONFIG).state_dict().items()}
    torch.manual_seed(0)
    tensors = {
        name: torch.empty(shape, dtype=torch.float16).uniform_(-1, 1) for name, shape in shapes.items()
    }
    (folder / "unet").mkdir()
    (folder / "unet" / "config.json").write_text(json.dumps(CONFIG))
    save_file(tensors, folder / "unet" / "diffusion_pytorch_model.safetensors", metadata={"format": "pt"})
    save_file({native[name]: tensor for name, tensor in tensors.items()}, folder / "unet.safetensors")


def peak_mib() -> float:
    status = Path("/proc/self/status").read_text()
    return int(status.split("VmHWM:")[1].split()[0]) / 1024


def load(folder: Path, layout: str, dtype: str) -> None:
    """Load the UNet and print what it took."""
    if layout == "file":
        file = find_weight_file(MODEL, str(folder / "unet.safetensors"))
        assert file is not None
        part = FilePart(file, PartLayout("UNet", UNET, "", native_names.ldm_unet), CONFIG)
    else:
        part = FolderPart(Source(MODEL, str(folder), is_folder=True), "unet", UNET, CONFIG)
    UNET.without_memory(CONFIG)  # what is imported on the way is not measured
    before, began = peak_mib(), time.perf_counter()
    model = part.load(device="cpu", dtype=DTYPES[dtype])
    seconds = time.perf_counter() - began
    size = sum(parameter.nbytes for parameter in model.parameters()) / MIB
    grown = peak_mib() - before
    print(f"{layout:7}{dtype:5} model {size:6.0f} MiB, peak {grown:6.0f} MiB, {seconds:5.1f} s")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--one", nargs=3, metavar=("FOLDER", "LAYOUT", "DTYPE"))
    options = parser.parse_args()
    if options.one:
        load(Path(options.one[0]), *options.one[1:])
        return
    with tempfile.TemporaryDirectory() as folder:
        write(Path(folder))
        for dtype in DTYPES:
            for layout in ("file", "folder"):
                subprocess.run([sys.executable, __file__, "--one", folder, layout, dtype], check=True)


if __name__ == "__main__":
    main()
