"""Whether two families opened from different places are the same model, bit by bit."""

import torch

PARTS = {
    "SD1.5": ("vae", "text_encoder", "unet"),
    "SDXL": ("vae", "text_encoder", "text_encoder_2", "unet"),
    "Flux": ("vae", "text_encoder", "text_encoder_2", "transformer"),
    "SD3": ("vae", "text_encoder", "text_encoder_2", "text_encoder_3", "transformer"),
}


def loaded(family, dtype=torch.float32):
    """Load every part, and copy the weights: those of a folder stay mapped, and sums differ there."""
    for load in (family.load_vae, family.load_text_encoder, family.load_denoiser):
        load("cpu", dtype)
    for part in PARTS[family.name]:
        for parameter in getattr(family, part).parameters():
            parameter.data = parameter.data.clone()
    return family


def assert_same_model(left, right):
    """Compare the tensors of every part by name, and what the parts compute."""
    for part in PARTS[left.name]:
        ours, theirs = getattr(left, part).state_dict(), getattr(right, part).state_dict()
        assert ours.keys() == theirs.keys()
        assert all(torch.equal(tensor, theirs[name]) for name, tensor in ours.items())
    for ours, theirs in zip(_outputs(left), _outputs(right), strict=True):
        assert torch.equal(ours, theirs)


@torch.no_grad()
def _outputs(family):
    text = family.encode_text(["a cat on a mat"], skip=1)
    noisy = torch.randn(1, family.latent_channels, 8, 8, generator=torch.Generator().manual_seed(0))
    pixels = torch.rand(1, 3, 64, 64, generator=torch.Generator().manual_seed(1)) * 2 - 1
    latents = family.encode_images(pixels, generator=torch.Generator().manual_seed(2))
    predicted = family.predict(noisy, torch.tensor([500]), text, torch.tensor([[64, 64, 0, 0, 64, 64]]))
    pooled = [] if text.pooled is None else [text.pooled]
    return [text.hidden, *pooled, latents, family.decode(latents), predicted]
