"""Files of every adapter type, resized and merged: what comes out changes the model as what went in."""

from functools import cache

import pytest
import torch
from adapter_files import FAMILIES, change_of, quiet
from safetensors.torch import load_file, save_file
from tiny import settings_for

from lora_widgets.adapters.attach import attach
from lora_widgets.catalog.lora_types import LORA_TYPES
from lora_widgets.errors import ConfigError, ModelError, StateError
from lora_widgets.families.family import open_family
from lora_widgets.lora_files import tools
from lora_widgets.lora_files.base_model import open_base
from lora_widgets.lora_files.changes import change_in
from lora_widgets.lora_files.kernels import kernel_of
from lora_widgets.lora_files.lora_file import read_lora, recognised
from lora_widgets.lora_files.lowrank import Keep, from_change

NEED_BASE = [row.name for row in LORA_TYPES.values() if row.needs_base]
VARIANTS = {
    "LoHa with sizes apart": {"lora_type": "LoHa", "dora_wd": True},
    "LoHa with a core": {"lora_type": "LoHa", "use_tucker": True},
    "LoKR with a core": {"lora_type": "LoKR", "use_tucker": True, "factor": 2, "conv_dim": 2},
    "LoCon with a core and norms": {"lora_type": "LoCon", "use_tucker": True, "train_norm": True},
}
CASES = {name: {"lora_type": name} for name in LORA_TYPES} | VARIANTS
SOME = {
    "lora_unet_down_blocks_0_resnets_0_conv1",
    "lora_unet_down_blocks_0_attentions_0_proj_in",
    "lora_unet_mid_block_attentions_0_transformer_blocks_0_attn2_to_k",
    "lora_unet_mid_block_resnets_0_norm1",
    "lora_unet_up_blocks_1_resnets_0_conv_shortcut",
    "lora_te_text_model_encoder_layers_0_mlp_fc1",
}
"""A layer of each kind."""


@pytest.fixture(scope="module")
def base(tiny_models):
    return tiny_models("sd15", "folder")


@pytest.fixture(scope="module")
def file_of_type(base, tmp_path_factory):
    """Return a function that writes a file of a case with random numbers once, for a layer of each kind."""
    root = tmp_path_factory.mktemp("types")

    @cache
    def write(case):
        family = open_family(settings_for(base))
        family.text.load("cpu", torch.float32)
        family.load_denoiser("cpu", torch.float32)
        wide = {"network_dim": 18} if case == "BOFT" else {}
        settings = settings_for(base, **wide, **CASES[case])
        generator = torch.Generator().manual_seed(list(CASES).index(case))
        adapter = attach(family, settings, generator=generator, sizes=None)
        with torch.no_grad():
            for parameters in adapter.parameters_of().values():
                for parameter in parameters:
                    parameter.copy_(torch.randn(parameter.shape, generator=generator) * 0.1)
        kept = {k: t.contiguous() for k, t in adapter.tensors().items() if k.partition(".")[0] in SOME}
        path = root / f"{list(CASES).index(case)}.safetensors"
        save_file(kept, path, {"ss_base_model_version": "sd_v1"})
        return path

    return write


def changes_in(path, base):
    """Return the changes of weights and biases by module, those of an adapter's file."""
    file, opened = read_lora(path), open_base(base, family=None)
    return {name: change_in(file, name, opened) for name in file.modules}


@pytest.mark.parametrize("case", CASES)
def test_a_file_of_any_type_becomes_a_lora_of_the_same_effect(case, file_of_type, base, tmp_path):
    source, target = file_of_type(case), tmp_path / "lora.safetensors"
    kept = tools.resize_file(
        source,
        target,
        keep=Keep(norm_share=1.0),
        base=base if case in NEED_BASE or "apart" in case else None,
        precision=None,
        progress=quiet,
    )
    assert min(kept.shares.values()) > 0.999999
    assert all(
        own.keys() & {"lora_up.weight", "w_norm", "diff"} and "dora_scale" not in own
        for own in read_lora(target).modules.values()
    )
    wanted, found = changes_in(source, base), changes_in(target, base)
    assert found.keys() == wanted.keys()
    for name, change in wanted.items():
        assert (found[name].weight - change.weight).norm() <= 1e-5 * change.weight.norm(), name
        assert (found[name].bias is None) == (change.bias is None)


@pytest.mark.parametrize("case", ["LoHa", "DoRA", "Native Fine-Tuning"])
def test_the_ranks_that_are_kept_have_the_share_that_is_told(case, file_of_type, base, tmp_path):
    source, target = file_of_type(case), tmp_path / "small.safetensors"
    kept = tools.resize_file(source, target, keep=Keep(rank=2), base=base, precision="float", progress=quiet)
    before, after = changes_in(source, base), read_lora(target).modules
    assert len(kept.ranks) >= 4
    for name, rank in kept.ranks.items():
        whole = before[name].weight.double().flatten(1)
        lost = (whole - change_of(after[name])).norm()
        assert rank == after[name]["lora_down.weight"].shape[0] == 2
        assert (1 - (lost / whole.norm()) ** 2) ** 0.5 == pytest.approx(kept.shares[name], abs=1e-6)
        assert lost == pytest.approx(float(torch.linalg.svdvals(whole)[2:].norm()), rel=1e-4)


@pytest.mark.parametrize("keep", [None, Keep(norm_share=1.0)])
def test_files_of_all_types_add_up(keep, file_of_type, base, tmp_path):
    weights = {case: 0.5 - 0.1 * i for i, case in enumerate(CASES)}
    sources = [(file_of_type(case), weight) for case, weight in weights.items()]
    target = tmp_path / "all.safetensors"
    tools.merge_files(sources, target, keep=keep, base=base, precision="float", progress=quiet)
    total, parts = changes_in(target, base), [(changes_in(path, base), weight) for path, weight in sources]
    assert total.keys() == SOME
    for name, change in total.items():
        for what in ("weight", "bias"):
            own = [(getattr(c[name], what), w) for c, w in parts if name in c]
            wanted = sum(tensor * weight for tensor, weight in own if tensor is not None)
            found = getattr(change, what)
            if found is None:
                assert isinstance(wanted, int), f"{name} lacks its {what}"
                continue
            assert (found.flatten() - wanted.flatten()).norm() <= 1e-5 * wanted.norm(), (name, what)


def test_a_sum_of_types_is_lora_where_that_is_small(file_of_type, tmp_path):
    target = tmp_path / "both.safetensors"
    files = [(file_of_type(case), 1.0) for case in ("LoCon", "LoHa")]
    tools.merge_files(files, target, keep=None, base=None, precision=None, progress=quiet)
    modules = read_lora(target).modules
    for name, own in modules.items():
        change = change_in(read_lora(target), name, None).weight
        sizes = len(change) + change[0].numel()
        rank = int(torch.linalg.matrix_rank(change.flatten(1), rtol=1e-5))
        assert ("diff" in own) == (rank * sizes >= change.numel()), name
    assert any("lora_up.weight" in own for own in modules.values())


@pytest.mark.parametrize("case", [*NEED_BASE, "LoHa with sizes apart"])
def test_a_type_that_needs_the_base_model_says_so(case, file_of_type, tmp_path):
    source, target = file_of_type(case), tmp_path / "new.safetensors"
    with pytest.raises(ConfigError, match=r"lora_\w+ is of the type .* Name the base model"):
        tools.resize_file(source, target, keep=Keep(rank=2), base=None, precision=None, progress=quiet)
    with pytest.raises(ConfigError, match="Name the base model"):
        tools.merge_files(
            [(source, 1.0), (file_of_type("LoRA"), 1.0)],
            target,
            keep=None,
            base=None,
            precision=None,
            progress=quiet,
        )
    assert not target.exists()


def test_a_base_model_that_does_not_fit_is_refused(file_of_type, tiny_models, tmp_path):
    options = {"keep": Keep(rank=2), "precision": None, "progress": quiet}
    source, target = file_of_type("DoRA"), tmp_path / "new.safetensors"
    with pytest.raises(ConfigError, match=r"The adapter is for SD1\.5, but the base model is SDXL"):
        tools.resize_file(source, target, base=tiny_models("sdxl", "file"), **options)
    odd = tmp_path / "odd.safetensors"
    tensors = {
        k.replace("mid_block_attentions_0", "mid_block_attentions_7"): t for k, t in load_file(source).items()
    }
    save_file(tensors, odd, {"ss_base_model_version": "sd_v1"})
    with pytest.raises(ModelError, match="The base model lacks lora_unet_mid_block_attentions_7"):
        tools.resize_file(odd, target, base=tiny_models("sd15", "file"), **options)


def test_tensors_that_do_not_go_together_are_named(tmp_path):
    name = "lora_unet_mid_block_attentions_0_proj_in"
    odd = {f"{name}.hada_w{i}_{which}": torch.ones(3, 5) for i in (1, 2) for which in "ab"}
    save_file(odd, tmp_path / "odd.safetensors", {"ss_base_model_version": "sd_v1"})
    with pytest.raises(StateError, match=f"{name} has tensors that do not go together"):
        tools.resize_file(
            tmp_path / "odd.safetensors",
            tmp_path / "new.safetensors",
            keep=Keep(rank=1),
            base=None,
            precision=None,
            progress=quiet,
        )


@pytest.mark.parametrize("model", list(FAMILIES))
def test_kernels_are_those_of_the_models(model, tiny_models):
    base = open_base(tiny_models(model, "folder"), family=None)
    file = recognised({}, {}, family=FAMILIES[model])
    sized = [name for name, module in base.modules.items() if module.weight and len(base.size(name)) > 1]
    found = {name: kernel_of(file.component_of(name), file.path_of(name)) for name in sized}
    assert found == {name: base.size(name)[2:] for name in sized}


@pytest.mark.parametrize("shape", [(6, 9), (9, 6), (6, 2, 3, 3)])
def test_a_change_is_taken_apart_as_by_its_singular_values(shape):
    change = torch.randn(shape, generator=torch.Generator().manual_seed(0))
    found = from_change(change, Keep(rank=3))
    left, values, right = torch.linalg.svd(change.double().flatten(1), full_matrices=False)
    wanted = left[:, :3] * values[:3] @ right[:3]
    assert torch.allclose(change_of(found.tensors), wanted, atol=1e-6)
    assert found.share == pytest.approx(float(values[:3].norm() / values.norm()))


def test_no_change_at_all_is_taken_apart_too():
    found = from_change(torch.zeros(4, 3), Keep(rank=2))
    assert (found.rank, found.share) == (1, 1.0)
    assert not change_of(found.tensors).any()
