"""What training asks of every family: encode, predict, learn, save, and answer the same from the file."""

import pytest
import torch
from tiny import settings_for

from lora_widgets.adapters.attach import attach
from lora_widgets.adapters.keys import read_lora_file
from lora_widgets.catalog.families import FAMILIES
from lora_widgets.config.noise import NoiseAndLoss
from lora_widgets.families.family import open_family
from lora_widgets.training.export import write_weights
from lora_widgets.training.loss import Draw, diffusion_loss

TINY = {
    "tiny_sd15": "SD1.5",
    "tiny_sdxl": "SDXL",
    "tiny_flux": "Flux",
    "tiny_sd3": "SD3",
    "tiny_sd35": "SD3",
}
SIZES = torch.tensor([[64, 64, 0, 0, 64, 64], [300, 200, 0, 10, 64, 64]])


def test_every_active_family_is_here():
    assert set(TINY.values()) == set(FAMILIES)


@pytest.fixture(params=TINY)
def opened(request):
    """Return a family with every part loaded, and its settings."""
    settings = settings_for(request.getfixturevalue(request.param), t5xxl_max_token_length=16)
    family = open_family(settings)
    for load in (family.vae.load, family.text.load, family.load_denoiser):
        load("cpu", torch.float32)
    return family, settings


def test_the_catalog_knows_what_can_be_trained(opened):
    family, _ = opened
    assert family.text_encoders == FAMILIES[family.name].text_encoders


def seeded(seed):
    return torch.Generator().manual_seed(seed)


def test_what_is_learned_is_in_the_file(opened, tmp_path):
    family, settings = opened
    pixels = torch.rand(2, 3, 64, 64, generator=seeded(1)) * 2 - 1
    latents = family.vae.encode(pixels, generator=seeded(2))
    assert latents.shape == (
        2,
        family.vae.latent_channels,
        64 // family.vae.latent_factor,
        64 // family.vae.latent_factor,
    )
    noise, times = torch.randn(latents.shape, generator=seeded(3)), torch.tensor([100, 700])

    def answer():
        text = family.encode_text(["a cat", "two dogs"], skip=1)
        return family.predict(family.process.mix(latents, noise, times), times, text, SIZES)

    before = answer().detach()
    adapter = attach(family, settings, generator=seeded(4))
    assert set(adapter.counts()) == {"unet", *family.text_encoders}
    optimizer = torch.optim.AdamW([p for group in adapter.parameters_of().values() for p in group], lr=0.01)
    for _ in range(2):  # the second reaches lora_down, for lora_up is zero at first
        loss = diffusion_loss(
            latents,
            Draw(noise, noise, times),
            lambda *_: answer(),
            process=family.process,
            settings=NoiseAndLoss(),
        )
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    learned = answer().detach()
    assert not torch.allclose(learned, before)

    write_weights(tmp_path / "x.safetensors", adapter.tensors(), family.identity(), dtype=torch.float32)
    adapter.detach()
    assert torch.equal(answer(), before)
    again = attach(family, settings, generator=seeded(5))
    tensors, metadata = read_lora_file(tmp_path / "x.safetensors")
    assert again.load_tensors(tensors, source="x.safetensors") == ()
    assert torch.equal(answer(), learned)
    assert metadata["ss_base_model_version"]
    assert family.vae.decode(latents).shape == pixels.shape
