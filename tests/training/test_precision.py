"""The formats of a run: the adapter's own, and training with it."""

import pytest
import torch
from runs import losses, run

from lora_widgets.config.memory import Memory
from lora_widgets.training.precision import precision_for

pytestmark = pytest.mark.any_libraries


@pytest.mark.parametrize(
    ("settings", "adapter"),
    [
        ({"mixed_precision": "fp16", "full_fp16": True}, torch.float16),
        ({"mixed_precision": "bf16", "full_bf16": True}, torch.bfloat16),
        ({"mixed_precision": "bf16", "full_fp16": True}, torch.float32),
        ({"mixed_precision": "no", "full_bf16": True}, torch.float32),
        ({"mixed_precision": "fp16"}, torch.float32),
    ],
)
def test_a_full_half_acts_in_its_own_precision_only(settings, adapter):
    assert precision_for(Memory(**settings)).adapter is adapter


def test_gradients_in_fp16_are_unscaled():
    precision = precision_for(Memory(mixed_precision="fp16", full_fp16=True))
    weight = torch.nn.Parameter(torch.ones(3, dtype=torch.float16))
    optimizer, scaler = torch.optim.SGD([weight], lr=0.1), precision.new_scaler()
    scaler.scale((0.5 * weight.float()).sum()).backward()
    scaler.unscale_(optimizer)
    assert weight.grad.tolist() == [0.5, 0.5, 0.5]


@pytest.mark.parametrize("half", ["fp16", "bf16"])
def test_a_run_trains_saves_and_goes_on_in_halves(make_config, half):
    shared = {"mixed_precision": half, f"full_{half}": True, "no_half_vae": True, "text_encoder_lr": 0.0}
    shared |= {"lr_scheduler": "constant"}  # the length of a run must not matter
    whole = losses(run(make_config(output_name="whole", **shared)))
    assert len(losses(run(make_config(max_train_steps=2, **shared)))) == 2
    assert losses(run(make_config(resume="latest", **shared))) == whole[2:]
