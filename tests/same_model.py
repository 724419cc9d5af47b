"""Whether two families opened from different places are the same model, bit by bit."""

import torch
from tiny import module_of

PARTS = {
    "SD1.5": ("vae", "clip_l", "unet"),
    "SDXL": ("vae", "clip_l", "clip_g", "unet"),
    "Flux": ("vae", "clip_l", "t5", "transformer"),
    "SD3": ("vae", "clip_l", "clip_g", "t5", "transformer"),
}


def loaded(family, dtype=torch.float32):
    """Load every part, and copy the weights: those of a folder stay mapped, and sums differ there."""
    for load in (family.vae.load, family.text.load, family.load_denoiser):
        load("cpu", dtype)
    for part in PARTS[family.name]:
        for parameter in module_of(family, part).parameters():
            parameter.data = parameter.data.clone()
    return family


def assert_same_model(left, right):
    """Compare the tensors of every part by name, and what the parts compute."""
    for part in PARTS[left.name]:
        ours, theirs = module_of(left, part).state_dict(), module_of(right, part).state_dict()
        assert ours.keys() == theirs.keys()
        assert all(torch.equal(tensor, theirs[name]) for name, tensor in ours.items())
    for ours, theirs in zip(_outputs(left), _outputs(right), strict=True):
        assert torch.equal(ours, theirs)


@torch.no_grad()
def _outputs(family):
    text = family.encode_text(["a cat on a mat"], skip=1)
    noisy = torch.randn(1, family.vae.latent_channels, 8, 8, generator=torch.Generator().manual_seed(0))
    pixels = torch.rand(1, 3, 64, 64, generator=torch.Generator().manual_seed(1)) * 2 - 1
    latents = family.vae.encode(pixels, generator=torch.Generator().manual_seed(2))
    predicted = family.predict(noisy, torch.tensor([500]), text, torch.tensor([[64, 64, 0, 0, 64, 64]]))
    pooled = [] if text.pooled is None else [text.pooled]
    return [text.hidden, *pooled, latents, family.vae.decode(latents), predicted]
