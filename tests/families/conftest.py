"""The tiny models, loaded once for reading, and the settings that open them."""

import pytest
import torch
from safetensors.torch import load_file, save_file
from tiny import make_tiny, make_tiny_file, settings_for, tiny_tensors

from lora_widgets.families.family import open_family

NAMES = ("sd15", "sdxl", "sd3", "sd35m", "flux-dev", "flux-schnell")
PARTS = ("flux-ae", "clip_l", "t5xxl", "sd3-clip_l", "sd3-clip_g")
TRANSFORMERS = {"Flux": "flux-dev", "SD3": "sd3"}
FILES_BESIDE = {
    "Flux": {"vae_path": "tiny-flux-ae", "clip_l_path": "tiny-clip_l", "t5xxl_path": "tiny-t5xxl"},
    "SD3": {},
}


@pytest.fixture(scope="package")
def folders(tmp_path_factory):
    """Return the diffusers folders of the tiny models; read them, do not write to them."""
    return {name: make_tiny(name, tmp_path_factory.mktemp(name)) for name in NAMES}


@pytest.fixture(scope="package")
def files(tmp_path_factory):
    """Return the single files of the tiny models and of their parts; read them, do not write to them."""
    folder = tmp_path_factory.mktemp("files")
    names = (f"tiny-{name}" for name in (*NAMES, *PARTS))
    return {name: make_tiny_file(f"{name}.safetensors", folder) for name in names}


@pytest.fixture
def changed(files, tmp_path):
    """Save one of the files with its tensors changed by a function of all of them; return its path."""

    def save(name, change):
        path = tmp_path / f"{name}.safetensors"
        save_file(change(load_file(files[name])), path)
        return path

    return save


@pytest.fixture
def open_transformer(folders, files):
    """Open the tiny "Flux" or "SD3", from its folder or from files, with changed settings."""

    def opened(family, *, as_files=False, **changes):
        folder, own = folders[TRANSFORMERS[family]], {}
        if as_files:
            own = {setting: files[name] for setting, name in FILES_BESIDE[family].items()}
            own["pretrained_model_name_or_path"] = files[f"tiny-{TRANSFORMERS[family]}"]
            own |= {"model_config_path": folder, "tokenizer_path": folder}
        return open_family(settings_for(folder, **(own | changes)))

    return opened


@pytest.fixture
def open_tiny(tiny_sd15):
    """Open the tiny model with changed settings."""
    return lambda **changes: open_family(settings_for(tiny_sd15, **changes))


@pytest.fixture
def open_tiny_sdxl(tiny_sdxl):
    """Open the tiny SDXL with changed settings."""
    return lambda **changes: open_family(settings_for(tiny_sdxl, **changes))


@pytest.fixture
def open_tiny_sd3(tiny_sd3):
    """Open the tiny SD3 with changed settings."""
    return lambda **changes: open_family(settings_for(tiny_sd3, **changes))


@pytest.fixture(scope="package")
def sd15(tiny_sd15):
    """Return the tiny model with every part loaded."""
    return with_all_parts(open_family(settings_for(tiny_sd15)))


@pytest.fixture(scope="package")
def sdxl(tiny_sdxl):
    """Return the tiny SDXL with every part loaded."""
    return with_all_parts(open_family(settings_for(tiny_sdxl)))


@pytest.fixture(scope="package")
def sd3(tiny_sd3):
    """Return the tiny SD3 with every part loaded."""
    return with_all_parts(open_family(settings_for(tiny_sd3)))


@pytest.fixture
def open_tiny_flux(tiny_flux):
    """Open the tiny Flux with changed settings."""
    return lambda **changes: open_family(settings_for(tiny_flux, **changes))


@pytest.fixture(scope="package")
def flux(tiny_flux):
    """Return the tiny Flux dev with every part loaded."""
    return with_all_parts(open_family(settings_for(tiny_flux)))


def with_all_parts(family):
    """Load everything, on the processor."""
    family.vae.load("cpu", torch.float32)
    family.text.load("cpu", torch.float32)
    family.load_denoiser("cpu", torch.float32)
    return family


@pytest.fixture(scope="package")
def single_file(tmp_path_factory):
    """Return the tiny model as a single file in LDM layout; read it, do not write to it."""
    return make_tiny_file("tiny-sd15.safetensors", tmp_path_factory.mktemp("single"))


@pytest.fixture
def open_file(tiny_sd15, single_file):
    """Open the single file with the tiny model's configuration and tokenizer, and changed settings."""
    own = {"model_config_path": str(tiny_sd15), "tokenizer_path": str(tiny_sd15 / "tokenizer")}
    return lambda **changes: open_family(settings_for(single_file, **{**own, **changes}))


@pytest.fixture(scope="package")
def sdxl_file(tmp_path_factory):
    """Return the tiny SDXL as a single file in SAI layout; read it, do not write to it.

    OpenCLIP multiplies by its projection from the right, so the files of Stability AI hold the transpose of
    what the folder holds; diffusers and ComfyUI turn it. The trainer that made the tiny file does not.
    """
    tensors = tiny_tensors("tiny-sdxl.safetensors")
    projection = "conditioner.embedders.1.model.text_projection"
    tensors[projection] = tensors[projection].T.contiguous()
    path = tmp_path_factory.mktemp("single") / "tiny-sdxl.safetensors"
    save_file(tensors, path)
    return path


@pytest.fixture
def open_sdxl_file(tiny_sdxl, sdxl_file):
    """Open the single file with the tiny SDXL's configuration and tokenizers, and changed settings."""
    own = {"model_config_path": str(tiny_sdxl), "tokenizer_path": str(tiny_sdxl)}
    return lambda **changes: open_family(settings_for(sdxl_file, **{**own, **changes}))
