"""Loss, gradients and five optimizer steps against an independent trainer (recipe: sd15_parity.json.xz)."""

import json
import lzma
import zlib
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file

from lora_widgets.config.noise import NoiseAndLoss
from lora_widgets.families.family import TextEmbedding
from lora_widgets.families.noise_schedule import noise_process
from lora_widgets.training.loss import Draw, Emphasis, diffusion_loss

FOLDER = Path(__file__).parents[1] / "golden"
with lzma.open(FOLDER / "sd15_parity.json.xz") as file:
    GOLDEN = json.load(file)
INPUTS = load_file(FOLDER / "sd15_parity_inputs.safetensors")
EXPECTED = load_file(FOLDER / "sd15_parity_expected.safetensors")
LATENTS = INPUTS["latents_unscaled"] * 0.18215


def start_value(name, shape):
    """Return the recorded start of a tensor: a formula of its name and shape."""
    size = torch.Size(shape).numel()
    i = np.arange(size, dtype=np.float64)
    amplitude = 0.1 if "lora_up" in name else (size / shape[0]) ** -0.5
    wave = np.sin(1.7 * i + 0.3 * (i % 7) ** 2 + (zlib.crc32(name.encode()) % 6283) / 1000)
    # numpy, because torch rounds twice on the way from 64 to 16 bits
    return torch.from_numpy((amplitude * wave).astype(np.float16).astype(np.float32)).view(shape)


@pytest.fixture
def adapter(attached):
    """Return an adapter with the recorded start values."""
    made = attached(network_dim=GOLDEN["dim"], alpha=GOLDEN["alpha"], trains_text_encoder=False)
    tensors = made.tensors()
    made.load_tensors(
        {k: t if k.endswith("alpha") else start_value(k, t.shape) for k, t in tensors.items()}, source="x"
    )
    return made


def loss_of(family, options):
    """Return the engine's loss of the recorded batch."""
    changes = {name: value for name, value in options.items() if name in NoiseAndLoss.model_fields}
    settings = NoiseAndLoss(min_snr_gamma_enabled="min_snr_gamma" in options, **changes)
    weights = options.get("_loss_weights")
    return diffusion_loss(
        LATENTS,
        Draw(INPUTS["noise"], INPUTS["noise"], INPUTS["timesteps"]),
        lambda noisy, times: family.predict(noisy, times, TextEmbedding(INPUTS["encoder_hidden_states"])),
        process=noise_process({}, settings),
        settings=settings,
        emphasis=Emphasis(
            None if weights is None else torch.tensor(weights),
            INPUTS["alpha_masks"][:, None] if options.get("_alpha_masks") else None,
        ),
    )


@pytest.mark.parametrize("case", GOLDEN["losses"], ids=lambda case: case["variant"])
@pytest.mark.usefixtures("adapter")
def test_losses_are_those_of_the_reference(family, case):
    with torch.no_grad():
        assert loss_of(family, case["options"]).item() == pytest.approx(case["loss"], rel=1e-5)


def test_gradients_are_those_of_the_reference(family, adapter):
    loss_of(family, {}).backward()
    gradients = named(adapter, lambda parameter: parameter.grad)
    assert gradients.keys() == GOLDEN["grad_stats"].keys()
    for name, (norm, _, _) in GOLDEN["grad_stats"].items():
        assert gradients[name].norm().item() == pytest.approx(norm, rel=1e-4, abs=1e-8), name
    assert_recorded(gradients, "grad.", lambda ours, theirs: (ours - theirs).norm() <= 1e-4 * theirs.norm())


def test_weights_after_five_steps_are_those_of_the_reference(family, adapter):
    optimizer = torch.optim.AdamW(adapter.parameters_of()["unet"], lr=1e-3, weight_decay=0.01)
    losses = []
    for _ in range(5):
        loss = loss_of(family, {})
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    assert losses == pytest.approx(GOLDEN["train"]["loss_before_each_step"], rel=1e-5)
    weights = named(adapter, lambda parameter: parameter.detach())
    assert_recorded(weights, "after.", lambda ours, theirs: (ours - theirs).abs().max() <= 1e-4)


def named(adapter, value):
    names = [name for name in adapter.tensors() if not name.endswith("alpha")]
    return dict(zip(names, map(value, adapter.parameters_of()["unet"]), strict=True))


def assert_recorded(ours, prefix, is_close):
    recorded = {name.removeprefix(prefix): t for name, t in EXPECTED.items() if name.startswith(prefix)}
    assert recorded
    for name, tensor in recorded.items():
        assert is_close(ours[name], tensor), name
