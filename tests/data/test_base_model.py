"""The size of a base model, read from the headers of its files."""

import pytest
import torch
from safetensors.torch import load_file, save_file
from tiny import make_tiny_file, settings_for

from lora_widgets.data.base_model import base_model_facts, largest_side, part_size
from lora_widgets.families.family import open_family


def settings(place, family="SD1.5", **more):
    return {"model_type": family, "pretrained_model_name_or_path": str(place), **more}


@pytest.mark.parametrize("family", ["SD1.5", "SDXL"])
def test_a_folder_is_counted_part_by_part(tiny_sd15, tiny_sdxl, family):
    folder = tiny_sd15 if family == "SD1.5" else tiny_sdxl
    facts = base_model_facts(settings(folder, family))
    assert facts is not None
    sizes = {
        "denoiser": facts.denoiser.numbers,
        "vae": facts.vae.numbers,
        "text_encoder": facts.text_encoder.numbers,
    }
    parts = {"denoiser": "unet", "vae": "vae", "text_encoder": "text_encoder*"}
    for part, pattern in parts.items():
        bytes_on_disk = sum(file.stat().st_size for file in folder.glob(f"{pattern}/*.safetensors"))
        assert 4 * sizes[part] == pytest.approx(bytes_on_disk, rel=0.4)  # headers are much of a tiny file
        assert 4 * sizes[part] < bytes_on_disk
    assert facts.activations is not None
    assert facts.latent_factor == 8


def test_a_single_file_has_the_same_sizes(tmp_path):
    shapes = {
        "model.diffusion_model.input_blocks.1.1.transformer_blocks.0.attn1.to_q.weight": (8, 4),
        "model.diffusion_model.input_blocks.1.0.emb_layers.1.weight": (8, 16),
        "model.diffusion_model.out.2.weight": (4, 8, 3, 3),
        "first_stage_model.encoder.conv_in.weight": (8, 3, 3, 3),
        "cond_stage_model.transformer.text_model.encoder.layers.0.self_attn.q_proj.weight": (6, 6),
    }
    save_file({name: torch.zeros(shape) for name, shape in shapes.items()}, tmp_path / "one.safetensors")
    facts = base_model_facts(settings(tmp_path / "one.safetensors"))
    assert facts is not None
    assert (facts.denoiser.numbers, facts.vae.numbers, facts.text_encoder.numbers) == (448, 216, 36)
    assert {(layer.path, layer.shape) for layer in facts.layers if layer.component == "unet"} == {
        ("down_blocks.0.attentions.0.transformer_blocks.0.attn1.to_q", (8, 4)),
        ("down_blocks.0.resnets.0.time_emb_proj", (8, 16)),
        ("conv_out", (4, 8, 3, 3)),
    }
    assert facts.activations is not None


def test_a_transformer_in_one_file_is_told_by_its_blocks(tiny_flux, tmp_path):
    whole = base_model_facts(settings(tiny_flux, "Flux"))
    single = base_model_facts(settings(make_tiny_file("tiny-flux-dev.safetensors", tmp_path), "Flux"))
    assert whole is not None
    assert single is not None
    assert single.activations == whole.activations
    assert single.denoiser.numbers == whole.denoiser.numbers


def test_separate_files_count_too(tiny_sd15, tmp_path):
    save_file({"decoder.weight": torch.zeros(3, 3)}, tmp_path / "vae.safetensors")
    save_file({"encoder.weight": torch.zeros(5, 5)}, tmp_path / "clip.safetensors")
    own = base_model_facts(settings(tiny_sd15))
    other = base_model_facts(
        settings(
            tiny_sd15,
            vae_path=str(tmp_path / "vae.safetensors"),
            clip_l_path=str(tmp_path / "clip.safetensors"),
        )
    )
    assert own is not None
    assert other is not None
    assert other.vae.numbers == 9
    assert other.text_encoder.numbers == own.text_encoder.numbers + 25


@pytest.mark.parametrize("place", ["owner/name", "nothing/there.safetensors", "bad\0name"])
def test_what_is_not_here_has_no_size(place):
    assert base_model_facts(settings(place)) is None


def test_a_damaged_file_has_no_size(tiny_sd15, tmp_path):
    (tmp_path / "broken.safetensors").write_bytes(b"nothing")
    assert base_model_facts(settings(tmp_path / "broken.safetensors")) is None
    assert base_model_facts(settings(tmp_path)) is None


def test_linear_layers_are_told_from_the_others():
    shapes = {
        "down_blocks.0.attentions.0.proj_in.weight": (4, 4, 1, 1),
        "down_blocks.0.attentions.0.transformer_blocks.0.ff.net.2.weight": (4, 16),
        "down_blocks.0.resnets.0.time_emb_proj.weight": (4, 8),
        "down_blocks.0.resnets.0.conv_shortcut.weight": (4, 4, 1, 1),
    }
    size = part_size(shapes)
    assert (size.linear, size.largest) == (64 + 32, 64)


FLOW_MODELS = {
    "tiny_flux": ("Flux", "tiny-flux-dev.safetensors"),
    "tiny_sd3": ("SD3", "tiny-sd3.safetensors"),
}


@pytest.mark.parametrize("model", FLOW_MODELS)
def test_the_blocks_of_a_transformer_are_counted_one_by_one(request, tmp_path, model):
    family, file = FLOW_MODELS[model]
    of_folder = base_model_facts(settings(request.getfixturevalue(model), family))
    of_file = base_model_facts(settings(make_tiny_file(file, tmp_path), family))
    assert of_folder is not None
    assert of_file is not None
    assert of_folder.denoiser.blocks == of_file.denoiser.blocks
    assert of_folder.denoiser.single_blocks == of_file.denoiser.single_blocks
    assert len(of_folder.denoiser.blocks) == 2
    assert len(of_folder.denoiser.single_blocks) == (3 if family == "Flux" else 0)
    assert sum(of_folder.denoiser.blocks) < of_folder.denoiser.numbers


@pytest.mark.parametrize(("folder", "file"), [("tiny_sd3", "tiny-sd3"), ("tiny_sd35", "tiny-sd35m")])
def test_the_largest_side_is_that_of_the_table_of_positions(request, tmp_path, folder, file):
    folder, file = request.getfixturevalue(folder), make_tiny_file(f"{file}.safetensors", tmp_path)
    place = folder / "transformer" / "diffusion_pytorch_model.safetensors"
    patches = load_file(place)["pos_embed.pos_embed"].shape[1] ** 0.5
    for path in (folder, file):
        assert (
            largest_side(settings(path, "SD3"))
            == 16 * patches
            == open_family(settings_for(folder)).largest_side
        )


@pytest.mark.parametrize("place", ["owner/name", "nothing.safetensors", "bad\0name", ""])
def test_what_is_not_here_has_no_largest_side(place):
    assert largest_side(settings(place, "SD3")) is None


def test_a_model_without_such_a_table_has_no_largest_side(tiny_flux):
    assert largest_side(settings(tiny_flux, "Flux")) is None
