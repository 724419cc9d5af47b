"""What every adapter type promises, for a few layers of each kind and for whole models of the families."""

import os
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch
from torch import nn

from lora_widgets.adapters.weight_change import type_of, weight_change
from lora_widgets.catalog.families import FAMILIES
from lora_widgets.catalog.lora_types import LORA_TYPES
from lora_widgets.families.family import Root

FOLDERS = {"SD1.5": "tiny_sd15", "SDXL": "tiny_sdxl", "Flux": "tiny_flux", "SD3": "tiny_sd3"}
EVERY_CELL = bool(os.environ.get("LORA_WIDGETS_EVERY_CELL"))
"""Whether to try each type on each family in each way; usually what could not fail alone is left out."""
AMPLIFIES = "SD3"
"""The family whose random weights turn the last bits of float32 into thousandths of the answer."""
VARIANTS = {
    "LoCon with a core and a gate": {"lora_type": "LoCon", "use_tucker": True, "use_scalar": True},
    "LoCon with norms": {"lora_type": "LoCon", "train_norm": True},
    "LoHa with a core and a gate": {"lora_type": "LoHa", "use_tucker": True, "use_scalar": True},
    "LoHa with size apart": {"lora_type": "LoHa", "dora_wd": True},
    "LoKR, both decomposed": {"lora_type": "LoKR", "decompose_both": True, "network_dim": 1, "conv_dim": 1},
    "LoKR, whole, rank-stabilised": {"lora_type": "LoKR", "full_matrix": True, "rs_lora": True},
    "LoKR with a core": {"lora_type": "LoKR", "use_tucker": True, "factor": 2, "conv_dim": 2},
    "DoRA by input": {"lora_type": "DoRA", "wd_on_output": False},
    "GLoRA with a gate": {"lora_type": "GLoRA", "use_scalar": True, "rs_lora": True},
    "Diag-OFT, limited and rescaled": {"lora_type": "Diag-OFT", "constraint": 1e-3, "rescaled": True},
    "BOFT, limited and rescaled": {"lora_type": "BOFT", "constraint": 1e-3, "rescaled": True},
}
TYPES = {name: {"lora_type": name} for name in LORA_TYPES}
FEW = [("a few layers", name) for name in (*TYPES, *VARIANTS)]
WHOLE = [
    pytest.param(family, name, marks=pytest.mark.slow)
    for family in FAMILIES
    if EVERY_CELL or family != "SDXL"  # its layers are those of SD1.5, and more
    for name in TYPES
]
RESUMED = [*FEW, *WHOLE] if EVERY_CELL else FEW  # whole models go on in the tests of runs


class Transformer2DModel(nn.Module):
    """Layers of each kind under a name that presets know; q, k and v are one layer in files."""

    def __init__(self):
        super().__init__()
        self.norm = nn.GroupNorm(2, 8)
        self.proj_in = nn.Conv2d(8, 16, 1)
        self.conv = nn.Conv2d(16, 16, 3, padding=1, stride=2)
        self.to_q, self.to_k, self.to_v = nn.Linear(16, 16), nn.Linear(16, 16), nn.Linear(16, 32)
        self.norm2 = nn.LayerNorm(16)
        self.net = nn.Sequential(nn.Linear(16, 32, bias=False))

    def forward(self, pixels):
        hidden = self.conv(self.proj_in(self.norm(pixels))).flatten(2).transpose(1, 2)
        values = torch.tanh(self.to_q(hidden) * self.to_k(hidden)) + self.to_v(hidden).chunk(2, -1)[0]
        return self.net(self.norm2(values)) + self.to_v(hidden).sum()


def few_layers():
    """Return something like a family: one part, whose last third of q, k and v has its halves swapped."""
    with torch.random.fork_rng():
        torch.manual_seed(0)
        block = nn.ModuleDict({"block": Transformer2DModel()}).requires_grad_(requires_grad=False)
    rows = {"block.to_q": 0, "block.to_k": 1, "block.to_v": 2}
    root = Root(
        block,
        "lora_unet",
        path_in_files=lambda path: "block.qkv" if path in rows else path,
        place_in_files=lambda path: rows.get(path, 0),
        halves_swapped=frozenset({"block.to_v"}),
    )
    return SimpleNamespace(name="SD1.5", text_encoders=[], roots=lambda: {"unet": root})


@pytest.fixture
def family(request, name, open_tiny):
    """Return the family that a test is about, its trainable parts loaded."""
    return few_layers() if name == "a few layers" else open_tiny(request.getfixturevalue(FOLDERS[name]))


@pytest.fixture
def model_folder(request, name):
    """Return the folder of the model, where there is one."""
    return Path("sd15") if name == "a few layers" else request.getfixturevalue(FOLDERS[name])


@pytest.fixture
def answer(request, family, name):
    """Return what the model says to a fixed question."""
    if name != "a few layers":
        return request.getfixturevalue("ask_model")
    pixels = torch.randn(2, 8, 6, 6, generator=torch.Generator().manual_seed(3))
    return lambda: family.roots()["unet"].module["block"](pixels)


@pytest.fixture
def settings(case, name):
    few = {"trains_text_encoder": False, "network_dim": 4} if name == "a few layers" else {}
    wide = {"network_dim": 18} if case == "BOFT" and name in ("Flux", "SD3") else {}
    return few | wide | (TYPES | VARIANTS)[case]


def trained(adapter, answer, steps, optimizer=None, first=0):
    """Do some steps towards an answer of 1, as training would; return the optimizer."""
    parameters = [p for group in adapter.parameters_of().values() for p in group]
    made = torch.optim.AdamW(parameters, lr=1e-2)
    if optimizer is not None:
        made.load_state_dict(optimizer.state_dict())
    for step in range(first, first + steps):
        adapter.set_position(step, 0)
        made.zero_grad()
        (answer() - 1).square().mean().backward()
        made.step()
    return made


@pytest.mark.parametrize(("name", "case"), [*FEW, *WHOLE])
def test_a_type_starts_without_effect_learns_saves_loads_and_merges(
    attached, answer, settings, name, monkeypatch
):
    with torch.no_grad():
        before = answer()
    drawn = torch.get_rng_state()
    adapter = attached(**settings)
    assert torch.equal(torch.get_rng_state(), drawn)
    with torch.no_grad():
        # The sizes of weights that DoRA learns are those of the base within rounding.
        rounding = 0.0
        if any(key.endswith("dora_scale") for key in adapter.tensors()):
            rounding = 5e-3 if name == AMPLIFIES else 1e-5
        torch.testing.assert_close(answer(), before, rtol=0, atol=rounding)
    trained(adapter, answer, 3)
    adapter.mode(training=False)
    with torch.no_grad():
        learned = answer()
        assert (learned - before).abs().max() > 1e-3
        file = {key: tensor.clone() for key, tensor in adapter.tensors().items()}
        with adapter.disabled():
            assert torch.equal(answer(), before)
        adapter.detach()
        fresh = attached(**settings)
        fresh.mode(training=False)
        assert fresh.load_tensors(file, source="x.safetensors") == ()
        torch.testing.assert_close(answer(), learned, rtol=1e-5, atol=1e-5)
        fresh.detach()
        merge(fresh, file)
        allowed = 1e-2 * float((learned - before).abs().max()) if name == AMPLIFIES else 1e-4
        torch.testing.assert_close(answer(), learned, rtol=1e-3, atol=allowed)


def merge(adapter, file):
    """Add to the base model's weights what the tensors of a file say."""
    for group in adapter._modules.values():
        for module in group:
            target, start = module.part.target, f"{module.name}."
            tensors = {k.removeprefix(start): t for k, t in file.items() if k.startswith(start)}
            assert type_of(tensors) is not None
            weight, bias = weight_change(tensors, target.weight())
            for member in target.members:
                member.module.weight.data += member.own(weight)
                if bias is not None:
                    member.module.bias.data += member.own(bias)


@pytest.mark.parametrize(("name", "case"), RESUMED)
def test_a_type_resumes_bit_exactly(attached, answer, settings):
    settings = {**settings, "network_dropout": 0.1, "rank_dropout": 0.1, "module_dropout": 0.1}
    adapter = attached(**settings)
    trained(adapter, answer, 2, trained(adapter, answer, 2), first=2)
    expected = adapter.state()
    adapter.detach()
    begun = attached(**settings)
    optimizer, state = trained(begun, answer, 2), {k: t.clone() for k, t in begun.state().items()}
    begun.detach()
    resumed = attached(**settings)
    resumed.load_state(state, source="x-state")
    trained(resumed, answer, 2, optimizer, first=2)
    assert expected.keys() == resumed.state().keys()
    assert all(torch.equal(tensor, expected[key]) for key, tensor in resumed.state().items())
