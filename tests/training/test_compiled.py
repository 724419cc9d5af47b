"""Compiled blocks: one graph for all equal ones, the same numbers, and a run that goes on where it fails."""

import json
from functools import partial
from importlib import import_module

import pytest
import torch
from tiny import make_tiny, settings_for
from torch._dynamo.backends.common import aot_autograd
from torch._dynamo.testing import CompileCounter

from lora_widgets.adapters.attach import attach
from lora_widgets.events import Notice, StepDone
from lora_widgets.families import block_swap
from lora_widgets.families.family import TextEmbedding, open_family
from lora_widgets.training import prepare
from lora_widgets.training.compiled import CompiledBlocks
from lora_widgets.training.control import Control
from lora_widgets.training.start import iter_training

pytestmark = pytest.mark.filterwarnings(
    "ignore:The .grad attribute of a Tensor:UserWarning"
)  # torch's own look
DEEPER = {
    "sd15": ("unet", "UNet2DConditionModel", {"layers_per_block": 3}),
    "sdxl": ("unet", "UNet2DConditionModel", {"transformer_layers_per_block": [1, 3, 3]}),
    "sd3": ("transformer", "SD3Transformer2DModel", {"num_layers": 4}),
    "flux-dev": ("transformer", "FluxTransformer2DModel", {"num_layers": 3, "num_single_layers": 3}),
}
KINDS = {"sd15": 4, "sdxl": 2, "sd3": 2, "flux-dev": 2}
"""Blocks that differ: in width or in the number of tokens; the last of SD3 answers less than the others."""


def slow(value):
    """Return a value of a parameter with which a test takes more than a few seconds."""
    return pytest.param(value, marks=pytest.mark.slow)


@pytest.fixture(autouse=True)
def afresh():
    """Forget what other tests compiled, of which graphs would be used again and not be counted."""
    torch._dynamo.reset()
    yield
    torch._dynamo.reset()


@pytest.fixture
def deep(tmp_path):
    """Return a function that writes a tiny model with more blocks and returns its folder."""

    def write(name):
        folder = make_tiny(name, tmp_path / name)
        part, kind, larger = DEEPER[name]
        config = json.loads((folder / part / "config.json").read_text()) | larger
        torch.manual_seed(0)
        getattr(import_module("diffusers"), kind).from_config(config).save_pretrained(folder / part)
        return folder

    return write


class Model:
    """A family with an adapter that changes something."""

    def __init__(self, folder, **changes):
        settings = settings_for(folder, trains_text_encoder=False, **changes)
        self.family = open_family(settings)
        self.family.load_denoiser("cpu", torch.float32)
        self.adapter = attach(self.family, settings, generator=torch.Generator().manual_seed(1))
        fill(self.adapter)
        self.denoiser = self.family.roots()["unet"].module
        self.weights = [weight for group in self.adapter.parameters_of().values() for weight in group]

    def ask(self, side=16):
        """Return the answer to a fixed question of two pictures."""
        draws, config = torch.Generator().manual_seed(5), self.denoiser.config
        width = config.get("joint_attention_dim") or config.cross_attention_dim
        pooled = config.get("pooled_projection_dim") or 32
        text = TextEmbedding(
            torch.randn(2, 6, width, generator=draws), torch.randn(2, pooled, generator=draws)
        )
        noisy = torch.randn(2, self.family.vae.latent_channels, side, side, generator=draws)
        return self.family.predict(noisy, torch.tensor([500, 100]), text, torch.full((2, 6), 64))

    def learn(self, side=16, step=0):
        """Return the answer and all gradients."""
        self.adapter.set_position(step, 0)
        for weight in self.weights:
            weight.grad = None
        answer = self.ask(side)
        answer.square().mean().backward()
        return [answer.detach(), *(weight.grad for weight in self.weights if weight.grad is not None)]


def fill(adapter):
    generator = torch.Generator().manual_seed(5)
    with torch.no_grad():
        for parameters in adapter.parameters_of().values():
            for parameter in parameters:
                parameter.copy_(torch.randn(parameter.shape, generator=generator) * 0.1)


def close(ours, theirs):
    for one, other in zip(ours, theirs, strict=True):
        torch.testing.assert_close(one, other, rtol=0, atol=1e-6)


@pytest.fixture
def counter():
    """Return a compiler that changes nothing and counts graphs."""
    return CompileCounter()


@pytest.mark.parametrize("name", ["sd3", "flux-dev", *map(slow, ("sd15", "sdxl"))])
def test_equal_blocks_share_one_graph_and_learn_the_same(deep, counter, name):
    model = Model(deep(name), network_dropout=0.2, rank_dropout=0.2)
    plain = [model.learn(step=step) for step in (0, 1)]
    blocks = CompiledBlocks(model.denoiser, dynamic=False, backend=counter)
    assert len(blocks) >= 3
    for step in (0, 1):
        close(model.learn(step=step), plain[step])
    assert counter.frame_count == KINDS[name]


@pytest.mark.parametrize(
    "changes",
    [{"base_weights": "nf4"}, {"base_weights": "int8"}, {"lora_type": "LoKR"}, {"train_norm": True}],
)
def test_stored_weights_and_other_types_share_graphs_too(deep, counter, changes):
    locon = {"lora_type": "LoCon"} if "train_norm" in changes else {}
    model = Model(deep("sd15" if locon else "sd3"), **changes, **locon)
    plain = model.learn()
    CompiledBlocks(model.denoiser, dynamic=False, backend=counter)
    close(model.learn(), plain)
    assert counter.frame_count == KINDS["sd15" if locon else "sd3"]


@pytest.mark.slow
def test_pictures_of_several_sizes_share_graphs(deep, counter):
    model = Model(deep("sd3"))
    model.family.enable_gradient_checkpointing(unet=True, text_encoder=False)
    sides = (16, 24, 12, 16)  # of the first, tokens are as many as channels
    plain = [model.learn(side) for side in sides]
    CompiledBlocks(model.denoiser, dynamic=True, backend=counter)
    for side, before in zip(sides, plain, strict=True):
        close(model.learn(side), before)
    assert counter.frame_count == KINDS["sd3"]


def test_blocks_that_wait_in_main_memory_are_compiled_too(deep, counter, monkeypatch):
    monkeypatch.setattr(block_swap, "has_another_memory", lambda device: True)
    monkeypatch.setattr(block_swap, "mover_for", lambda device: Copying())
    model = Model(deep("sd3"), blocks_to_swap=2)
    model.family.enable_gradient_checkpointing(unet=True, text_encoder=False)
    plain = model.learn()
    CompiledBlocks(model.denoiser, dynamic=False, backend=counter)
    close(model.learn(), plain)
    assert counter.frame_count == KINDS["sd3"]


def test_pictures_are_drawn_uncompiled_and_detaching_leaves_no_trace(deep, counter):
    model = Model(deep("sd15"))
    names = list(model.denoiser.state_dict())
    with torch.no_grad():
        drawn = model.ask()
        blocks = CompiledBlocks(model.denoiser, dynamic=False, backend=counter)
        assert torch.equal(model.ask(), drawn)
        with model.adapter.disabled():
            assert not torch.equal(model.ask(), drawn)
    assert list(model.denoiser.state_dict()) == names
    blocks.detach()
    model.learn()
    assert counter.frame_count == 0


def fails_at_once(graph, inputs):
    raise RuntimeError("no compiler here")


def fails_going_back():
    def forward(graph, inputs):
        return graph.forward

    return aot_autograd(fw_compiler=forward, bw_compiler=fails_at_once)


@pytest.mark.parametrize("backend", [fails_at_once, slow(fails_going_back())], ids=["forward", "backward"])
def test_a_run_goes_on_with_the_same_numbers_where_compiling_fails(make_config, monkeypatch, backend):
    monkeypatch.setattr(prepare, "CompiledBlocks", partial(CompiledBlocks, backend=backend))
    shared = {"gradient_accumulation_steps": 2, "network_dropout": 0.2, "max_train_steps": 3}
    plain = list(iter_training(make_config(output_name="plain", **shared)))
    events = list(iter_training(make_config(output_name="compiled", torch_compile=True, **shared)))
    assert losses(events) == losses(plain)
    told = [event.message for event in events if isinstance(event, Notice) and event.level == "warning"]
    assert sum("no compiler here" in message for message in told) == 1


def losses(events):
    return [event.loss for event in events if isinstance(event, StepDone)]


class Copying:
    """Waits in main memory and computes there."""

    def keep(self, weight):
        return weight.detach().clone()

    def fetch(self, weights):
        return [weight.detach().clone() for weight in weights]

    def arrived(self, copies):
        pass


@pytest.mark.slow
@pytest.mark.parametrize(("family", "of_gradient"), [("SD1.5", 1e-5), ("SD3", 1e-3)])
def test_what_the_compiler_makes_learns_the_same(config_of, family, of_gradient):
    # Uncompiled too, the gradient of the tiny SD3 in float32 is 1.6e-4 away from that in float64.
    shared = {"max_train_steps": 4, "network_dropout": 0.2}
    plain = list(iter_training(config_of(family, output_name="plain", **shared)))
    events = list(iter_training(config_of(family, output_name="compiled", torch_compile=True, **shared)))
    assert not any("cannot be compiled" in e.message for e in events if isinstance(e, Notice))
    for quantity, relative in (("loss", 1e-5), ("grad_norm", of_gradient)):
        of_runs = [[getattr(e, quantity) for e in run if isinstance(e, StepDone)] for run in (events, plain)]
        torch.testing.assert_close(*(torch.tensor(run) for run in of_runs), rtol=relative, atol=1e-5)


@pytest.mark.slow
def test_a_compiled_run_that_is_resumed_ends_as_an_uncompiled_one(make_config, counter, monkeypatch):
    monkeypatch.setattr(prepare, "CompiledBlocks", partial(CompiledBlocks, backend=counter))
    shared = {"max_train_steps": 4, "network_dropout": 0.2, "save_state": True}
    plain = list(iter_training(make_config(output_name="plain", **shared)))
    parts, control, first = make_config(output_name="parts", torch_compile=True, **shared), Control(), []
    for event in iter_training(parts, control):
        first.append(event)
        if isinstance(event, StepDone) and event.step == 2:
            control.stop()
    second = list(iter_training(parts.with_changes(resume="latest")))
    close(torch.tensor(losses([*first, *second])), torch.tensor(losses(plain)))
    assert counter.frame_count > 0
