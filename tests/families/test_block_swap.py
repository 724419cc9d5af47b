"""Blocks that wait in main memory: the numbers are the same, and few copies exist at a time."""

import pytest
import torch
from tiny import settings_for
from torch.multiprocessing.reductions import StorageWeakRef

from lora_widgets.adapters.attach import attach
from lora_widgets.errors import ModelError
from lora_widgets.families import block_swap
from lora_widgets.families.block_swap import BlockSwap
from lora_widgets.families.family import TextEmbedding, open_family

SIZES = torch.zeros(1, 6)


class CountingMover:
    """Copies within main memory, and counts the copies of blocks that exist at a time."""

    def __init__(self):
        self.alive, self.most, self.fetches = [], 0, 0

    def keep(self, weight):
        return weight.detach().clone()

    def fetch(self, weights):
        copies = [weight.detach().clone() for weight in weights]
        self.fetches += 1
        self.alive = [storage for storage in self.alive if not storage.expired()]
        self.alive.append(StorageWeakRef(copies[0].untyped_storage()))
        self.most = max(self.most, len(self.alive))
        return copies

    def arrived(self, copies):
        pass


class Waiting(torch.nn.Module):
    """A frozen block with something of its own that learns."""

    def __init__(self):
        super().__init__()
        self.inner = torch.nn.Linear(8, 8).requires_grad_(requires_grad=False)
        self.norm = torch.nn.LayerNorm(8).requires_grad_(requires_grad=False)

    def forward(self, x):
        return x + self.norm(self.inner(x)).tanh()


def blocks_of(count):
    torch.manual_seed(0)
    return torch.nn.ModuleList(Waiting() for _ in range(count))


def gradient_of(blocks, *, checkpointed=True):
    x = torch.linspace(-1, 1, 16).view(2, 8).requires_grad_()
    value = x
    for block in blocks:
        value = (
            torch.utils.checkpoint.checkpoint(
                block.__call__, value, use_reentrant=False, preserve_rng_state=False
            )
            if checkpointed
            else block(value)
        )
    loss = value.square().mean()
    loss.backward()
    return loss.detach(), x.grad


@pytest.mark.parametrize("checkpointed", [True, False])
def test_swapped_blocks_compute_the_same(checkpointed):
    blocks = blocks_of(5)
    plain = gradient_of(blocks, checkpointed=checkpointed)
    BlockSwap(list(blocks)[2:], CountingMover())
    for _ in range(2):
        for ours, theirs in zip(gradient_of(blocks, checkpointed=checkpointed), plain, strict=True):
            assert torch.equal(ours, theirs)


def test_the_next_block_is_fetched_once_and_before_its_turn():
    blocks, mover = blocks_of(5), CountingMover()
    BlockSwap(list(blocks), mover)
    gradient_of(blocks)
    assert mover.fetches == 2 * 5  # each once forward and once backward: nothing was fetched in vain
    assert mover.most <= 3  # the one that computes, the next, and what is left of the one before


def test_blocks_are_where_they_wait_after_each_step_and_after_a_failure():
    blocks, mover = blocks_of(3), CountingMover()
    BlockSwap(list(blocks), mover)
    waiting = [id(weight) for weight in blocks.parameters()]
    gradient_of(blocks)
    with pytest.raises(RuntimeError, match="shapes"):
        blocks[1](torch.zeros(2, 5))
    assert [id(weight) for weight in blocks.parameters()] == waiting


def test_detach_ends_it():
    blocks, mover = blocks_of(3), CountingMover()
    swapped = BlockSwap(list(blocks), mover)
    swapped.detach()
    gradient_of(blocks)
    assert mover.fetches == 0


@pytest.mark.parametrize(
    ("lora_type", "base"), [("LoRA", "dense"), ("DoRA", "dense"), ("LoKR", "int8"), ("LoRA", "nf4")]
)
@pytest.mark.parametrize("model", ["tiny_flux", "tiny_sd3"])
def test_a_swapped_model_learns_the_same(request, monkeypatch, model, lora_type, base):
    path = request.getfixturevalue(model)
    monkeypatch.setattr(block_swap, "has_another_memory", lambda device: True)
    monkeypatch.setattr(block_swap, "mover_for", lambda device: mover)
    mover, answers = CountingMover(), []
    for count in (0, 2):
        changes = {"blocks_to_swap": count, "lora_type": lora_type, "base_weights": base}
        settings = settings_for(path, trains_text_encoder=False, **changes)
        answers.append(answer_and_gradients(settings))
    assert mover.fetches > 0
    for plain, swapped in zip(*answers, strict=True):
        assert torch.equal(plain, swapped)


def answer_and_gradients(settings):
    """Return what a family answers, drawing and learning, and the gradients of its adapter."""
    family = open_family(settings)
    family.load_denoiser("cpu", torch.float32)
    adapter = attach(family, settings, generator=torch.Generator().manual_seed(4))
    family.enable_gradient_checkpointing(unet=True, text_encoder=False)
    config, draws = family.roots()["unet"].module.config, torch.Generator().manual_seed(5)
    text = TextEmbedding(
        torch.randn(1, 6, config.joint_attention_dim, generator=draws),
        torch.randn(1, config.pooled_projection_dim, generator=draws),
    )
    noisy = torch.randn(1, family.vae.latent_channels, 8, 8, generator=draws)
    with torch.no_grad():
        drawn = family.predict(noisy, torch.tensor([500]), text, SIZES)
    answer = family.predict(noisy, torch.tensor([500]), text, SIZES)
    answer.square().mean().backward()
    weights = [weight for weights in adapter.parameters_of().values() for weight in weights]
    return [drawn, answer.detach(), *(w.grad for w in weights if w.grad is not None)]


def test_more_blocks_than_there_are_is_an_error(monkeypatch, tiny_sd3):
    monkeypatch.setattr(block_swap, "has_another_memory", lambda device: True)
    monkeypatch.setattr(block_swap, "mover_for", lambda device: CountingMover())
    family = open_family(settings_for(tiny_sd3, blocks_to_swap=3))
    with pytest.raises(ModelError, match=r"asks for 3 transformer blocks .* has 2"):
        family.load_denoiser("cpu", torch.float32)


def test_without_a_gpu_nothing_is_swapped(tiny_sd3):
    family = open_family(settings_for(tiny_sd3, blocks_to_swap=2))
    family.load_denoiser("cpu", torch.float32)
    blocks = family.roots()["unet"].module.transformer_blocks
    assert not any(block._forward_pre_hooks for block in blocks)
