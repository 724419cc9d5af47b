"""Loss, gradients and five optimizer steps against an independent trainer (recipes: *_parity.json.xz)."""

import json
import lzma
import zlib
from dataclasses import dataclass
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
SCALES = {"sd15": 0.18215, "sdxl": 0.13025}


@dataclass(frozen=True)
class Recorded:
    """What the reference was given and what it answered; ``sizes`` are SD1.5's too, which ignores them."""

    numbers: dict
    expected: dict
    latents: torch.Tensor
    inputs: dict

    @classmethod
    def read(cls, name):
        with lzma.open(FOLDER / f"{name}_parity.json.xz") as file:
            numbers = json.load(file)
        inputs = load_file(FOLDER / f"{name}_parity_inputs.safetensors")
        expected = load_file(FOLDER / f"{name}_parity_expected.safetensors")
        return cls(numbers, expected, inputs["latents_unscaled"] * SCALES[name], inputs)

    @property
    def text(self):
        if "encoder_hidden_states" in self.inputs:
            return TextEmbedding(self.inputs["encoder_hidden_states"])
        hidden = torch.cat([self.inputs["text1_hidden"], self.inputs["text2_hidden"]], dim=-1)
        return TextEmbedding(hidden, self.inputs["text2_pooled"])

    @property
    def sizes(self):
        names = ("original_sizes_hw", "crop_top_lefts", "target_sizes_hw")
        rows = [self.inputs.get(name, torch.zeros(2, 2)) for name in names]
        return torch.cat(rows, dim=1)


RECORDED = {name: Recorded.read(name) for name in SCALES}
LOSSES = [
    pytest.param(name, case, id=f"{name}-{case['variant']}")
    for name, recorded in RECORDED.items()
    for case in recorded.numbers["losses"]
]
each_family = pytest.mark.parametrize("name", list(RECORDED))


@pytest.fixture
def model_folder(request, name):
    """Return the folder of the family that a test is about."""
    return request.getfixturevalue(f"tiny_{name}")


@pytest.fixture
def recorded(name):
    return RECORDED[name]


def start_value(name, shape):
    """Return the recorded start of a tensor: a formula of its name and shape."""
    size = torch.Size(shape).numel()
    i = np.arange(size, dtype=np.float64)
    amplitude = 0.1 if "lora_up" in name else (size / shape[0]) ** -0.5
    wave = np.sin(1.7 * i + 0.3 * (i % 7) ** 2 + (zlib.crc32(name.encode()) % 6283) / 1000)
    # numpy, because torch rounds twice on the way from 64 to 16 bits
    return torch.from_numpy((amplitude * wave).astype(np.float16).astype(np.float32)).view(shape)


@pytest.fixture
def adapter(attached, recorded):
    """Return an adapter with the recorded start values."""
    made = attached(
        network_dim=recorded.numbers["dim"],
        network_alpha=recorded.numbers["alpha"],
        trains_text_encoder=False,
    )
    tensors = made.tensors()
    made.load_tensors(
        {k: t if k.endswith("alpha") else start_value(k, t.shape) for k, t in tensors.items()}, source="x"
    )
    return made


def loss_of(family, recorded, options):
    """Return the engine's loss of the recorded batch."""
    changes = {name: value for name, value in options.items() if name in NoiseAndLoss.model_fields}
    settings = NoiseAndLoss(min_snr_gamma_enabled="min_snr_gamma" in options, **changes)
    weights, inputs = options.get("_loss_weights"), recorded.inputs
    return diffusion_loss(
        recorded.latents,
        Draw(inputs["noise"], inputs["noise"], inputs["timesteps"]),
        lambda noisy, times: family.predict(noisy, times, recorded.text, recorded.sizes),
        process=noise_process({}, settings),
        settings=settings,
        emphasis=Emphasis(
            None if weights is None else torch.tensor(weights),
            inputs["alpha_masks"][:, None] if options.get("_alpha_masks") else None,
        ),
    )


@pytest.mark.parametrize(("name", "case"), LOSSES)
@pytest.mark.usefixtures("adapter")
def test_losses_are_those_of_the_reference(family, recorded, case):
    with torch.no_grad():
        loss = loss_of(family, recorded, case["options"]).item()
    assert loss == pytest.approx(case["loss"], rel=1e-5)


@each_family
def test_gradients_are_those_of_the_reference(family, adapter, recorded):
    loss_of(family, recorded, {}).backward()
    gradients = named(adapter, lambda parameter: parameter.grad)
    assert gradients.keys() == recorded.numbers["grad_stats"].keys()
    for name, (norm, _, _) in recorded.numbers["grad_stats"].items():
        assert gradients[name].norm().item() == pytest.approx(norm, rel=1e-4, abs=1e-8), name
    assert_recorded(
        gradients, recorded, "grad.", lambda ours, theirs: (ours - theirs).norm() <= 1e-4 * theirs.norm()
    )


@each_family
def test_weights_after_five_steps_are_those_of_the_reference(family, adapter, recorded):
    optimizer = torch.optim.AdamW(adapter.parameters_of()["unet"], lr=1e-3, weight_decay=0.01)
    losses = []
    for _ in range(5):
        loss = loss_of(family, recorded, {})
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    assert losses == pytest.approx(recorded.numbers["train"]["loss_before_each_step"], rel=1e-5)
    weights = named(adapter, lambda parameter: parameter.detach())
    assert_recorded(weights, recorded, "after.", lambda ours, theirs: (ours - theirs).abs().max() <= 1e-4)


def named(adapter, value):
    names = [name for name in adapter.tensors() if not name.endswith("alpha")]
    return dict(zip(names, map(value, adapter.parameters_of()["unet"]), strict=True))


def assert_recorded(ours, recorded, prefix, is_close):
    tensors = {
        name.removeprefix(prefix): t for name, t in recorded.expected.items() if name.startswith(prefix)
    }
    assert tensors
    for name, tensor in tensors.items():
        assert is_close(ours[name], tensor), name
