"""Which layers get which part of an adapter: presets, blocks, sizes from files, and what is refused."""

import pytest
import torch

from lora_widgets.adapters.weight_change import type_of, weight_change
from lora_widgets.catalog.layer_presets import LAYER_PRESETS
from lora_widgets.config.adapter_plan import matches
from lora_widgets.config.block_numbers import block_of
from lora_widgets.config.layer_presets import layers_of
from lora_widgets.errors import ConfigError, ModelError, StateError

UNET = {"trains_text_encoder": False}


@pytest.mark.parametrize(
    ("preset", "unet", "text"),
    [
        *[("full", 278, 12), ("full-lin", 228, 12), ("attn-mlp", 192, 12), ("attn-only", 128, 8)],
        *[("unet-only", 278, 0), ("unet-transformer-only", 192, 0), ("unet-convblock-only", 88, 0)],
        ("ia3", 80, 6),
    ],
)
def test_presets_choose_layers_of_diffusers_models(attached, preset, unet, text):
    assert attached(lora_type="LoCon", preset=preset).counts() == {"unet": unet, "text_encoder": text}


def test_a_preset_of_one_network_leaves_the_next_alone(attached):
    attached(lora_type="(IA)³").detach()
    assert attached(lora_type="LoCon").counts()["unet"] == 278


PRESET_FILE = """
enable_conv = false
unet_target_module = ["Transformer2DModel"]
unet_target_name = ["conv_in"]
text_encoder_target_module = ["CLIPMLP"]
exclude_name = [".*attn2.*"]

[module_algo_map.Attention]
algo = "loha"
dim = 2

[name_algo_map."ff.net.2"]
algo = "full"
"""


@pytest.fixture
def preset_file(tmp_path):
    (tmp_path / "mine.toml").write_text(PRESET_FILE)
    return str(tmp_path / "mine.toml")


def test_a_preset_file_of_lycoris_chooses_layers_and_types(attached, preset_file):
    adapter = attached(lora_type="LoKR", preset=preset_file, network_dim=4)
    tensors = adapter.tensors()
    start = "lora_unet_down_blocks_0_attentions_0_transformer_blocks_0"
    assert tensors[f"{start}_attn1_to_k.hada_w1_b"].shape[0] == 2
    assert f"{start}_ff_net_2.diff" in tensors
    assert f"{start}_ff_net_0_proj.lokr_w1" in tensors
    assert not any("attn2" in name for name in tensors)
    assert {name.split(".")[0] for name in tensors if name.startswith("lora_te")} == {
        f"lora_te_text_model_encoder_layers_{i}_mlp_fc{j}" for i in (0, 1) for j in (1, 2)
    }


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("enable_cnov = true", "'enable_cnov', which is not known"),
        ('enable_conv = "yes"', "it must be a switch"),
        ("enable_conv", "cannot be read"),
        ('module_algo_map = {Attention = {algo = "lohha"}}', "algo = 'lohha'"),
        ("name_algo_map = {to_k = {dims = 4}}", "sets dims at to_k"),
        ("name_algo_map = {to_k = 4}", "must be a table"),
    ],
)
def test_a_broken_preset_file_is_refused_by_what_is_wrong(tmp_path, text, said):
    (tmp_path / "mine.toml").write_text(text)
    with pytest.raises(ConfigError, match=said):
        layers_of(str(tmp_path / "mine.toml"), lora_type="LoKR")


def test_an_unknown_preset_is_refused_with_the_known_ones():
    with pytest.raises(ConfigError, match="attn-only"):
        layers_of("everything", lora_type="LoKR")
    assert layers_of("", lora_type="LoRA") is LAYER_PRESETS["attn-mlp"]


def test_a_preset_that_matches_nothing_is_refused(attached, tmp_path):
    (tmp_path / "mine.toml").write_text('unet_target_module = ["DoubleStreamBlock"]')
    with pytest.raises(ModelError, match=r"`preset` is .* chooses no layer of the unet"):
        attached(lora_type="LoKR", preset=str(tmp_path / "mine.toml"))


@pytest.mark.parametrize(
    ("pattern", "path", "fnmatch", "expected"),
    [
        ("to_k", "down_blocks.0.attn1.to_k", False, True),
        ("to_k", "down_blocks.0.attn1.to_kv", False, False),
        (".*attn1.*", "down_blocks.0.attn1.to_k", False, True),
        ("down_blocks.0", "down_blocks.0.attn1.to_k", False, True),
        ("*.to_k", "down_blocks.0.attn1.to_k", True, True),
        ("to_k", "down_blocks.0.attn1.to_k", True, False),
    ],
)
def test_patterns_mean_the_start_or_the_last_parts_of_a_path(pattern, path, fnmatch, expected):
    assert matches(pattern, path, fnmatch=fnmatch) is expected


@pytest.mark.parametrize(
    ("path", "block"),
    [
        ("down_blocks.0.attentions.0.proj_in", 1),
        ("down_blocks.0.downsamplers.0.conv", 3),
        ("down_blocks.3.resnets.1.conv1", 11),
        ("mid_block.attentions.0.proj_in", 12),
        ("up_blocks.0.resnets.0.conv1", 13),
        ("up_blocks.3.attentions.2.proj_out", 24),
        ("input_blocks.8.1.proj_in", 9),
        ("middle_block.2.in_layers.2", 12),
        ("output_blocks.0.0.in_layers.2", 13),
        ("output_blocks.8.0.in_layers.2", 21),
        ("conv_in", None),
        ("time_embedding.linear_1", None),
    ],
)
def test_blocks_are_numbered_as_the_reference_does(path, block):
    assert block_of(path) == (block + 1 if path.startswith("input_blocks") and block is None else block)


def test_a_block_of_dimension_zero_is_left_out(attached):
    dims = ",".join("0" if i == 12 else "4" for i in range(25))
    names = attached(**UNET, block_dims=dims).tensors()
    assert not any("mid_block" in name for name in names)
    assert any("up_blocks" in name for name in names)


@pytest.mark.parametrize(
    ("kind", "options"),
    [
        ("LoRA", {}),
        ("LoCon", {"use_tucker": True}),
        ("DoRA", {"wd_on_output": False}),
        ("LoHa", {"use_tucker": True}),
        ("LoKR", {"decompose_both": True}),
        ("LoKR", {"full_matrix": True}),
        ("GLoRA", {}),
        ("DyLoRA", {}),
        ("Diag-OFT", {"constraint": 0.001, "rescaled": True}),
        ("BOFT", {"rescaled": True}),
    ],
)
@pytest.mark.slow
def test_layers_and_ranks_come_from_a_file(attached, fill, answer, kind, options):
    made = {"lora_type": kind, **UNET, "preset": "attn-mlp", "network_dim": 4, "network_alpha": 2.0}
    adapter = fill(attached(**made, **options))
    adapter.mode(training=False)
    file = {key: tensor.clone() for key, tensor in adapter.tensors().items() if "mid_block" not in key}
    adapter.detach()
    other = attached(file, **made | {"network_dim": 8, "network_alpha": 8.0}, dim_from_weights=True)
    other.mode(training=False)
    assert other.load_tensors(file, source="x.safetensors") == ()
    loaded = other.tensors()
    assert loaded.keys() == file.keys()
    # Two whole matrices have no rank; their alpha says nothing.
    keys = [key for key in file if not (key.endswith(".alpha") and kind == "LoKR")]
    assert all(torch.allclose(loaded[key], file[key]) for key in keys)
    assert torch.isfinite(answer()).all()


def test_a_file_of_another_type_is_refused_by_name(attached, fill):
    file = fill(attached(**UNET, lora_type="LoHa")).tensors()
    with pytest.raises(StateError, match=r"the file has LoHa.*Set `lora_type` to LoHa"):
        attached(**UNET).load_tensors(file, source="x.safetensors")


def test_a_rotation_of_another_limit_is_refused(attached):
    file = attached(**UNET, lora_type="Diag-OFT", preset="attn-mlp", constraint=0.5).tensors()
    with pytest.raises(StateError, match=r"Set `constraint` to 0\.5"):
        attached(**UNET, lora_type="Diag-OFT", preset="attn-mlp").load_tensors(file, source="x.safetensors")


def test_layers_smaller_than_the_rank_are_told(attached):
    (note,) = attached(**UNET, network_dim=24).notes
    assert "layers are smaller than the rank" in note
    assert attached(**UNET).notes == ()


def test_norms_are_limited_and_what_is_small_is_left_alone(attached, fill):
    for kind in ("LoRA", "DoRA", "LoHa", "LoKR"):
        adapter = fill(attached(**UNET, lora_type=kind, preset="attn-mlp"), size=0.7)
        before = norms(adapter)
        limit = sorted(before.values())[len(before) // 2]
        adapter.limit_norms(limit)
        after = norms(adapter)
        for name, norm in after.items():
            assert norm == pytest.approx(min(before[name], limit), rel=1e-3), (kind, name)
        adapter.detach()


def norms(adapter):
    """Return the norm of the product in each layer, from what a file would hold."""
    found = {}
    for module in adapter._modules["unet"]:
        tensors = {k: t for k, t in module.maths.tensors().items() if k != "dora_scale"}
        assert type_of(tensors) is not None
        found[module.name] = float(weight_change(tensors, module.part.target.weight())[0].norm())
    return found


def test_parameters_have_names_by_which_up_matrices_are_known(attached):
    adapter = attached()
    names = adapter.named_parameters_of()
    assert names.keys() == adapter.parameters_of().keys()
    assert list(names["unet"].values()) == adapter.parameters_of()["unet"]
    assert sum("lora_up" in name for name in names["unet"]) == adapter.counts()["unet"]
