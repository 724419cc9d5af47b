"""Stable Diffusion 1.5 in its real size, with random weights: two steps and a sample on the processor."""

import json
import math

import pytest
import torch
from safetensors import safe_open
from safetensors.torch import save_file

from lora_widgets.events import Finished, SampleReady, StepDone
from lora_widgets.families.part_classes import AUTOENCODER, CLIP, UNET
from lora_widgets.families.part_configs import embedded_configs
from lora_widgets.training.start import iter_training


@pytest.fixture
def real_sd15(tiny_sd15, tmp_path):
    """Folder of a model of the real size, in fp16 (2 GiB), with a small vocabulary."""
    folder, generator = tmp_path / "sd15", torch.Generator().manual_seed(0)
    kinds = {"unet": UNET, "vae": AUTOENCODER, "text_encoder": CLIP}
    for part, kind in kinds.items():
        config = embedded_configs("sd15")[part]
        shapes = {name: tensor.shape for name, tensor in kind.without_memory(config).state_dict().items()}
        (folder / part).mkdir(parents=True)
        (folder / part / "config.json").write_text(json.dumps(config))
        file = "model.safetensors" if part == "text_encoder" else "diffusion_pytorch_model.safetensors"
        tensors = {name: random_weight(shape, generator) for name, shape in shapes.items()}
        save_file(tensors, folder / part / file, metadata={"format": "pt"})
    for kept in ("tokenizer", "scheduler", "model_index.json"):
        (folder / kept).symlink_to(tiny_sd15 / kept)
    return folder


def random_weight(shape, generator):
    """Return weights that keep the size of what passes, so that two steps stay finite."""
    if len(shape) < 2:
        return torch.ones(shape, dtype=torch.float16)
    bound = math.sqrt(3 / math.prod(shape[1:]))
    return torch.empty(shape, dtype=torch.float16).uniform_(-bound, bound, generator=generator)


@pytest.mark.slow
def test_a_model_of_the_real_size_trains_two_steps(make_config, real_sd15, tmp_path):
    config = make_config(
        pretrained_model_name_or_path=str(real_sd15),
        resolution=128,
        min_bucket_reso=128,
        max_bucket_reso=128,
        train_batch_size=1,
        max_train_steps=2,
        network_dim=16,
        network_alpha=8,
        mixed_precision="bf16",
        gradient_checkpointing=True,
        text_encoder_lr=1e-4,
        sample_prompts="a thing --w 64 --h 64 --s 2 --d 1",
        sample_every_n_steps=2,
    )
    events = list(iter_training(config))
    losses = [event.loss for event in events if isinstance(event, StepDone)]
    assert len(losses) == 2
    assert all(math.isfinite(loss) and loss > 0 for loss in losses)
    assert any(isinstance(event, SampleReady) for event in events)
    assert isinstance(events[-1], Finished)
    with safe_open(tmp_path / "out" / "tiny.safetensors", framework="pt") as file:
        names = [name for name in file.keys() if name.endswith("lora_up.weight")]  # noqa: SIM118
        learned = [name for name in names if file.get_tensor(name).abs().max() > 0]
    assert len(names) == 192 + 72
    assert len(learned) == len(names)
