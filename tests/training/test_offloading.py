"""What checkpointing keeps waits elsewhere and comes back: the numbers are the same, weights stay."""

import pytest
import torch
from runs import losses, run
from torch import nn
from torch.utils.checkpoint import checkpoint

from lora_widgets.config.memory import Memory
from lora_widgets.training import loop, offloading
from lora_widgets.training.offloading import checkpoints_waiting, waiting


class Moves:
    """Copies what it is given within main memory, and counts."""

    def __init__(self):
        self.shapes = []

    def __call__(self, tensor):
        self.shapes.append(tuple(tensor.shape))
        return tensor.clone()


@pytest.fixture
def small(monkeypatch):
    """Let tensors of any size move."""
    monkeypatch.setattr(offloading, "_SMALL", 0)


def test_the_inputs_of_blocks_move_weights_and_what_has_no_history_stay(small):
    torch.manual_seed(0)
    blocks = [nn.Sequential(nn.Linear(8, 8), nn.Tanh(), nn.Linear(8, 8)) for _ in range(3)]
    first, times = torch.randn(2, 8, requires_grad=True), torch.randn(2, 8)

    def gradient():
        value = first * 2
        for block in blocks:
            value = checkpoint(lambda x, t, block=block: block(x + t), value, times, use_reentrant=False)
        return torch.autograd.grad(value.sum(), first)[0]

    plain, moves = gradient(), Moves()
    with waiting(moves):
        moved = gradient()
    assert torch.equal(moved, plain)
    assert moves.shapes == [(2, 8)] * 3


@pytest.mark.parametrize("family", ["SDXL", "Flux", "SD3"])
def test_a_run_whose_checkpoints_wait_learns_the_same(config_of, monkeypatch, small, family):
    config = config_of(
        family,
        **{"text_encoder_lr": 1e-3, "network_dropout": 0.3, "max_train_steps": 2, "train_batch_size": 2},
        gradient_checkpointing=True,
        t5xxl_max_token_length=16,
    )
    plain, moves = losses(run(config)), Moves()
    monkeypatch.setattr(loop, "checkpoints_waiting", lambda settings, device: waiting(moves))
    assert losses(run(config.with_changes(output_name="again"))) == plain
    assert moves.shapes


@pytest.mark.parametrize(
    ("settings", "device", "moves"),
    [
        ({"cpu_offload_checkpointing": True}, "cuda", True),
        ({"cpu_offload_checkpointing": True}, "cpu", False),
        ({"cpu_offload_checkpointing": True, "gradient_checkpointing": False}, "cuda", False),
        ({}, "cuda", False),
    ],
)
def test_checkpoints_wait_where_it_is_asked_for_and_another_memory_is_there(settings, device, moves):
    context = checkpoints_waiting(Memory(**settings), torch.device(device))
    assert isinstance(context, torch.autograd.graph.saved_tensors_hooks) == moves
