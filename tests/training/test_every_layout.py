"""Runs of every model, from one layout or another, learn, and a fresh one draws the same with their file."""

from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from safetensors.torch import save_file
from tiny import make_tiny, tiny_tensors

from lora_widgets.adapters.attach import attach
from lora_widgets.adapters.keys import read_lora_file
from lora_widgets.config.noise import NoiseAndLoss
from lora_widgets.config.prompts import prompts_of, written_prompts
from lora_widgets.events import Finished, SampleReady, Saved, StepDone
from lora_widgets.families.family import open_family
from lora_widgets.training.control import Control
from lora_widgets.training.loss import Draw, diffusion_loss
from lora_widgets.training.precision import precision_of
from lora_widgets.training.samples import Studio
from lora_widgets.training.start import iter_training
from lora_widgets.training.text import LiveText

STEPS = 30
MODEL = "pretrained_model_name_or_path"
MODELS = {
    "sd15": "SD1.5",
    "sdxl": "SDXL",
    "sd3": "SD3",
    "sd35m": "SD3",
    "flux-dev": "Flux",
    "flux-schnell": "Flux",
}
LAYOUTS = {
    "sd15": "folder",
    "sdxl": "one file",
    "sd3": "files of parts",
    "sd35m": "folder",
    "flux-dev": "files of parts",
    "flux-schnell": "one file",
}
"""One for each: that files are the model of the folder, bit by bit, is tested where they are opened."""
VAE_IN_FILE = "first_stage_model."
CLIP_L, CLIP_G = "tiny-sd3-clip_l.safetensors", "tiny-sd3-clip_g.safetensors"
IN_ONE_FILE_OF_FLUX = {
    "model.diffusion_model.": None,
    "vae.": "tiny-flux-ae.safetensors",
    "text_encoders.clip_l.transformer.": "tiny-clip_l.safetensors",
    "text_encoders.t5xxl.transformer.": "tiny-t5xxl.safetensors",
}
SETTINGS = {
    "max_train_steps": STEPS,
    "unet_lr": 3e-3,
    "text_encoder_lr": 3e-4,
    "t5xxl_max_token_length": 16,
    "sample_prompts": "thing, red dot --w 64 --h 64 --s 4 --l 2 --d 7",
    "sample_every_n_steps": STEPS,
    "sample_every_n_epochs": 0,
}


def written(path, tensors):
    save_file({name: tensor.contiguous() for name, tensor in tensors.items()}, path)
    return str(path)


def places_of(name, layout, folder, work):
    """Return the settings that say where a model is in some layout; what they name is written to ``work``."""
    if layout == "folder":
        return {MODEL: str(folder)}
    own = {"model_config_path": str(folder), "tokenizer_path": str(folder)}
    tensors = tiny_tensors(f"tiny-{name}.safetensors")
    if name.startswith("flux"):
        return own | _files_of_flux(tensors, layout, work)
    if layout == "files of parts":
        return own | _files_of_parts(tensors, work)
    return own | {MODEL: written(work / f"{name}.safetensors", tensors)}


def _files_of_flux(tensors, layout, work):
    """Flux comes as files of parts; one file of all is what ComfyUI calls a checkpoint."""
    parts = {start: tiny_tensors(file) if file else tensors for start, file in IN_ONE_FILE_OF_FLUX.items()}
    if layout == "one file":
        everything = {start + name: tensor for start, own in parts.items() for name, tensor in own.items()}
        return {MODEL: written(work / "all.safetensors", everything)}
    settings = (MODEL, "vae_path", "clip_l_path", "t5xxl_path")
    return {
        setting: written(work / f"{setting}.safetensors", own)
        for setting, own in zip(settings, parts.values(), strict=True)
    }


def _files_of_parts(tensors, work):
    """Take the VAE out of the file, and of SD3 the text encoders too."""
    vae = {name: tensor for name, tensor in tensors.items() if name.startswith(VAE_IN_FILE)}
    outside = (VAE_IN_FILE, "text_encoders.")
    rest = {name: tensor for name, tensor in tensors.items() if not name.startswith(outside)}
    places = {
        MODEL: written(work / "model.safetensors", rest),
        "vae_path": written(
            work / "vae.safetensors",
            {name.removeprefix(VAE_IN_FILE): tensor for name, tensor in vae.items()},
        ),
    }
    if any(name.startswith("text_encoders.") for name in tensors):
        files = {"clip_l_path": CLIP_L, "clip_g_path": CLIP_G, "t5xxl_path": "tiny-t5xxl.safetensors"}
        for setting, file in files.items():
            places[setting] = written(work / file, tiny_tensors(file))
    return places


def pixels_of(folder):
    """Return the training pictures (B, 3, 64, 64) in [-1, 1] and their captions."""
    files = sorted(folder.rglob("*.png"))
    arrays = [np.asarray(Image.open(file).resize((64, 64)), dtype=np.float32) for file in files]
    captions = [file.with_suffix(".txt").read_text(encoding="utf-8").strip() for file in files]
    return torch.from_numpy(np.stack(arrays)).permute(0, 3, 1, 2) / 127.5 - 1, captions


def loss_of(family, pictures, captions):
    """Return the loss over the training pictures, with the same noise and spread times at every call."""
    generator = torch.Generator().manual_seed(11)
    text = family.encode_text(captions, skip=1)
    latents = family.vae.encode(pictures, generator=generator)
    noise = torch.randn(latents.shape, generator=generator)
    times = torch.linspace(60, 940, len(latents)).round().to(torch.long)
    sizes = torch.tensor([[64, 64, 0, 0, 64, 64]]).expand(len(latents), -1)
    loss = diffusion_loss(
        latents,
        Draw(noise, noise, times),
        lambda noisy, at: family.predict(noisy, at, text, sizes),
        process=family.process,
        settings=NoiseAndLoss(),
    )
    return loss.item()


def reloaded(config, file):
    """Open the model afresh, with the saved file in it."""
    family = open_family(config)
    for load in (family.vae.load, family.text.load, family.load_denoiser):
        load("cpu", torch.float32)
    adapter = attach(family, config, generator=torch.Generator().manual_seed(99))
    assert adapter.load_tensors(read_lora_file(file)[0], source=str(file)) == ()
    adapter.mode(training=False)
    return family, adapter


@pytest.mark.slow
@pytest.mark.parametrize(("name", "layout"), LAYOUTS.items())
def test_a_run_learns_and_its_file_does_the_same_in_a_fresh_model(make_config, tmp_path, name, layout):
    places = places_of(name, layout, make_tiny(name, tmp_path / "folder"), tmp_path)
    config = make_config(model_type=MODELS[name], **SETTINGS, **places)
    events = list(iter_training(config))
    assert sum(isinstance(event, StepDone) for event in events) == STEPS
    assert isinstance(events[-1], Finished)
    before, after = (event for event in events if isinstance(event, SampleReady))
    (file,) = (Path(event.path) for event in events if isinstance(event, Saved) and event.kind == "weights")

    family, adapter = reloaded(config, file)
    text = LiveText(family, precision_of("no"), skip=1, trains=False)
    (prompt,) = prompts_of(written_prompts(config.sample_prompts, None), config)
    sampler = config.sample_sampler
    studio = Studio(
        family, adapter, precision_of("no"), text.one, (prompt,), sampler, 0, tmp_path, "x", Control()
    )
    again = np.asarray(studio.draw(prompt, seed=prompt.seed)).astype(int)
    assert np.abs(again - np.asarray(Image.open(after.path)).astype(int)).max() <= 1
    assert np.abs(again - np.asarray(Image.open(before.path)).astype(int)).max() > 1
    pictures, captions = pixels_of(Path(config.train_data_dir))
    with torch.no_grad():
        learned = loss_of(family, pictures, captions)
        with adapter.disabled():
            untrained = loss_of(family, pictures, captions)
    assert learned < 0.99 * untrained
