"""One adapter under the names of three programs: nothing is lost on the way, and nothing changes."""

import pytest
import torch
from adapter_files import FAMILIES, VERSIONS, change_of, first_case, random_adapter, recorded
from hypothesis import given
from hypothesis import strategies as st

from lora_widgets.errors import ConfigError, StateError
from lora_widgets.lora_files.dialects import in_dialect
from lora_widgets.lora_files.layouts import LAYOUTS, kohya_path, members, native_path, owner_of
from lora_widgets.lora_files.lora_file import recognised
from lora_widgets.lora_files.paths import dotted, flat

MODELS = list(FAMILIES)


def metadata(family):
    return {"ss_base_model_version": VERSIONS[family]}


@given(st.text("ab_0", max_size=20))
def test_a_path_flattens_to_the_name_it_was_told_from(name):
    assert flat(dotted(name)) == name


@pytest.mark.parametrize("model", MODELS)
def test_every_recorded_name_is_recognised_and_written_the_same(model):
    family = FAMILIES[model]
    for case in (case for case in recorded() if case["family"] == model):
        tensors = random_adapter(case)
        file = recognised(tensors, metadata(family))
        assert (file.family, file.dialect, file.unknown) == (family, "kohya", ())
        assert in_dialect(file.modules, "kohya", family=family).keys() == tensors.keys()


@pytest.mark.parametrize("dialect", ["native", "diffusers"])
@pytest.mark.parametrize("model", MODELS)
def test_a_dialect_there_and_back_changes_nothing(model, dialect):
    family = FAMILIES[model]
    for case in (case for case in recorded() if case["family"] == model):
        file = recognised(random_adapter(case), metadata(family))
        there = in_dialect(file.modules, dialect, family=family)
        back = recognised(there, metadata(family))
        assert (back.dialect, back.unknown) == (dialect, ())
        assert back.modules.keys() == file.modules.keys()
        for name, tensors in file.modules.items():
            wanted, found = change_of(tensors), change_of(back.modules[name])
            assert (found - wanted).norm() <= 1e-6 * wanted.norm(), name


@pytest.mark.parametrize("model", MODELS)
def test_diffusers_paths_and_the_publishers_paths_lead_back(model):
    layout = LAYOUTS[FAMILIES[model]]
    file = recognised(random_adapter(first_case(model)), metadata(layout.family))
    for name, tensors in file.modules.items():
        component, path = file.component_of(name), file.path_of(name)
        rows, inputs = tensors["lora_up.weight"].shape[0], tensors["lora_down.weight"].shape[1]
        places = members(layout, component, path, rows=rows, inputs=inputs)
        for i, place in enumerate(places):
            assert owner_of(layout, component, place.path) == (path, i, len(places))
        assert sum(len(range(rows)[p.rows or slice(None)]) for p in places) == rows
        assert kohya_path(layout, component, native_path(layout, component, path)) == path


@pytest.mark.parametrize("model", MODELS)
def test_the_family_is_told_from_names_alone_where_they_tell_it(model):
    tensors = random_adapter(first_case(model))
    assert recognised(tensors, {}).family == FAMILIES[model]


def test_an_unknown_family_is_kept_by_its_own_names_but_nothing_is_made_of_it():
    file = recognised({"lora_te3_x.lora_up.weight": torch.ones(2, 1)}, {})
    assert file.family is None
    assert list(file.modules) == ["lora_te3_x"]
    with pytest.raises(StateError, match="fit no family that is known here"):
        _ = file.layout


def test_parts_with_matrices_of_their_own_become_one_module_with_all_their_ranks():
    """As programs that train q, k and v apart write Flux: each has its own down matrix and alpha."""
    generator = torch.Generator().manual_seed(0)
    start, parts = "transformer.transformer_blocks.0.attn", {}
    for i, part in enumerate(("to_q", "to_k", "to_v")):
        parts[part] = {
            "lora_down.weight": torch.randn(2, 6, generator=generator),
            "lora_up.weight": torch.randn(6, 2, generator=generator),
            "alpha": torch.tensor(float(i + 1)),
        }
    tensors = {f"{start}.{part}.{key}": t for part, own in parts.items() for key, t in own.items()}
    whole = recognised(tensors, metadata("Flux")).modules["lora_unet_double_blocks_0_img_attn_qkv"]
    assert whole["lora_down.weight"].shape == (6, 6)
    wanted = torch.cat([change_of(own) for own in parts.values()])
    assert torch.allclose(change_of(whole), wanted, atol=1e-6)


def test_a_part_that_is_missing_changes_nothing():
    down, up = torch.ones(1, 4), torch.ones(4, 1)
    start = "transformer.single_transformer_blocks.1.attn.to_k"
    tensors = {f"{start}.lora_A.weight": down, f"{start}.lora_B.weight": up}
    whole = recognised(tensors, {}).modules["lora_unet_single_blocks_1_linear1"]
    assert change_of(whole).shape == (4 + 4 + 4 + 16, 4)
    assert change_of(whole).sum(1).nonzero().flatten().tolist() == [4, 5, 6, 7]


def test_the_last_modulation_of_sd3_has_its_halves_swapped_for_diffusers():
    tensors = random_adapter(first_case("sd3"))
    file = recognised(tensors, metadata("SD3"))
    last = "lora_unet_joint_blocks_1_context_block_adaLN_modulation_1"
    up = in_dialect({last: file.modules[last]}, "diffusers", family="SD3")[
        "transformer.transformer_blocks.1.norm1_context.linear.lora_B.weight"
    ]
    whole = file.modules[last]["lora_up.weight"] * float(file.modules[last]["alpha"]) / 4
    assert torch.allclose(torch.cat([up[len(up) // 2 :], up[: len(up) // 2]]), whole)


def test_the_names_other_programs_use_for_the_same_module_are_understood():
    same = {
        "SD1.5": [
            "unet.down_blocks.0.attentions.0.transformer_blocks.0.attn1.processor.to_out_lora.down.weight",
            "unet.down_blocks.0.attentions.0.transformer_blocks.0.attn1.to_out.0.lora_A.default.weight",
            "lora_unet_down_blocks_0_attentions_0_transformer_blocks_0_attn1_to_out_0.lora_down.weight",
            "lycoris_down_blocks_0_attentions_0_transformer_blocks_0_attn1_to_out_0.lora_down.weight",
            "diffusion_model.input_blocks.1.1.transformer_blocks.0.attn1.to_out.0.lora_A.weight",
        ],
        "SDXL": [
            "lora_unet_down_blocks_1_attentions_0_proj_in.lora_down.weight",
            "lora_unet_input_blocks_4_1_proj_in.lora_down.weight",
            "base_model.model.unet.down_blocks.1.attentions.0.proj_in.lora_A.weight",
        ],
        "Flux": [
            "lora_te2_encoder_block_0_layer_0_SelfAttention_q.lora_down.weight",
            "text_encoder_2.encoder.block.0.layer.0.SelfAttention.q.lora_A.weight",
            "text_encoders.t5xxl.transformer.encoder.block.0.layer.0.SelfAttention.q.lora_down.weight",
        ],
    }
    for family, keys in same.items():
        found = {
            name for key in keys for name in recognised({key: torch.ones(1, 2)}, metadata(family)).modules
        }
        assert len(found) == 1, found


def with_sizes(tensors):
    """Return tensors of LoRA as those of DoRA, with a size of its own for each row."""
    generator = torch.Generator().manual_seed(1)
    sizes = {
        key.replace("lora_up.weight", "dora_scale"): torch.rand(
            len(up), *[1] * (up.dim() - 1), generator=generator
        )
        for key, up in tensors.items()
        if key.endswith("lora_up.weight")
    }
    return tensors | sizes


@pytest.mark.parametrize("model", MODELS)
def test_the_sizes_of_dora_go_there_and_back_with_their_rows(model):
    family = FAMILIES[model]
    cases = [case for case in recorded() if case["family"] == model]
    case = max(cases, key=lambda case: max(len(shape) for _, shape, _, _ in case["keys"]))  # with kernels
    file = recognised(with_sizes(random_adapter(case)), metadata(family))
    there = in_dialect(file.modules, "diffusers", family=family)
    back = recognised(there, metadata(family))
    assert back.unknown == ()
    for name, tensors in file.modules.items():
        if "dora_scale" in tensors:
            assert torch.equal(back.modules[name]["dora_scale"], tensors["dora_scale"]), name


def test_sizes_by_input_and_of_some_parts_only_are_refused():
    name = "lora_unet_mid_block_attentions_0_proj_in"
    matrices = {"lora_down.weight": torch.ones(1, 3), "lora_up.weight": torch.ones(2, 1)}
    with pytest.raises(ConfigError, match=r"a size for each input.*one for each output"):
        in_dialect({name: {**matrices, "dora_scale": torch.ones(1, 3)}}, "diffusers", family="SD1.5")
    start = "transformer.transformer_blocks.0.attn"
    sizes = {f"{start}.to_q.lora_magnitude_vector.weight": torch.ones(2)}
    parts = {f"{start}.{part}.{key}": t for part in ("to_q", "to_k", "to_v") for key, t in matrices.items()}
    with pytest.raises(StateError, match="DoRA where every part has them"):
        recognised(parts | sizes, metadata("Flux"))


def test_a_core_is_multiplied_into_the_first_matrix_for_diffusers():
    generator = torch.Generator().manual_seed(0)
    shapes = {
        "lora_down.weight": (2, 3, 1, 1),
        "lora_mid.weight": (2, 2, 3, 3),
        "lora_up.weight": (4, 2, 1, 1),
    }
    tensors = {key: torch.randn(shape, generator=generator) for key, shape in shapes.items()}
    name = "lora_unet_mid_block_resnets_0_conv1"
    there = in_dialect({name: tensors}, "diffusers", family="SD1.5")
    (found,) = recognised(there, metadata("SD1.5")).modules.values()
    wanted = torch.einsum(
        "mnhw,im,nj->ijhw",
        *(tensors[k].squeeze() for k in ("lora_mid.weight", "lora_up.weight", "lora_down.weight")),
    )
    assert torch.allclose(change_of(found).float(), wanted.flatten(1), atol=1e-5)


def test_diffusers_has_no_names_for_other_types():
    modules = {"lora_unet_mid_block_attentions_0_proj_in": {"hada_w1_a": torch.ones(2, 1)}}
    with pytest.raises(ConfigError, match=r"no name: it reads LoRA, LoCon and DoRA only"):
        in_dialect(modules, "diffusers", family="SD1.5")


def test_parts_of_another_type_are_not_joined():
    key = "lycoris_transformer_blocks_0_attn_to_q.hada_w1_a"
    with pytest.raises(StateError, match="one layer in files of its family"):
        recognised({key: torch.ones(2, 1)}, metadata("Flux"))


def test_a_module_of_a_model_is_not_taken_for_ia3():
    assert recognised({"unet.mid_block.attentions.0.proj_in.weight": torch.ones(2)}, {}).modules == {}
