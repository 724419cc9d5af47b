"""An adapter of SDXL: three components, and files that name them in several ways."""

import pytest
import torch

from lora_widgets.catalog.unet_paths import sgm_path


@pytest.fixture
def model_folder(tiny_sdxl):
    return tiny_sdxl


def test_the_unet_and_both_text_encoders_are_adapted(attached):
    assert attached().counts() == {"unet": 192, "text_encoder_1": 72, "text_encoder_2": 12}
    assert attached(trains_text_encoder=False).counts() == {"unet": 192}


def test_all_that_sdxl_reads_gets_a_gradient(attached, answer, fill):
    adapter = fill(attached())
    answer().square().mean().backward()
    without = {
        name
        for component in adapter._modules.values()
        for name in (m.name for m in component if m.maths.lora_up.grad is None)
    }
    # CLIP-L is read before its last layer, of which nothing can be learned; CLIP-G's gives the pooled text.
    assert without
    assert all(name.startswith("lora_te1_text_model_encoder_layers_11_") for name in without)


@pytest.mark.parametrize("spelling", ["stability", "kohya with paths of diffusers", "peft"])
def test_files_are_read_whatever_they_call_the_modules(family, attached, fill, spelling):
    tensors = {key: tensor.clone() for key, tensor in fill(attached()).tensors().items()}
    adapter = attached()
    notes = adapter.load_tensors(spelled(family, tensors, spelling), source="theirs.safetensors")
    assert notes == ()
    loaded = adapter.tensors()
    assert all(torch.equal(loaded[key], tensor) for key, tensor in tensors.items())


def spelled(family, tensors, spelling):
    """Return the tensors under the names another program would have given them."""
    if spelling == "stability":
        return tensors
    renamed = {}
    for component, root in family.roots().items():
        for path, _ in root.module.named_modules():
            long = f"text_model.{path}" if path.startswith("encoder.") else path
            ours = f"{root.prefix}_{root.path_in_files(long).replace('.', '_')}"
            if f"{ours}.alpha" not in tensors:
                continue
            part = {"text_encoder_1": "text_encoder"}.get(component, component)
            theirs = f"{root.prefix}_{path.replace('.', '_')}"
            names = [f"{theirs}.lora_down.weight", f"{theirs}.lora_up.weight", f"{theirs}.alpha"]
            if spelling == "peft":
                names = [
                    f"{part}.{long}.lora_A.weight",
                    f"{part}.{long}.lora_B.weight",
                    f"{part}.{long}.alpha",
                ]
            for tensor, name in zip(("lora_down.weight", "lora_up.weight", "alpha"), names, strict=True):
                renamed[name] = tensors[f"{ours}.{tensor}"]
    assert len(renamed) == len(tensors)
    assert renamed.keys() != tensors.keys()
    return renamed


@pytest.mark.parametrize(
    ("path", "expected"),
    [
        ("down_blocks.1.attentions.0.proj_in", "input_blocks.4.1.proj_in"),
        ("down_blocks.2.attentions.1", "input_blocks.8.1"),
        ("mid_block.attentions.0.proj_out", "middle_block.1.proj_out"),
        ("up_blocks.0.attentions.2.norm", "output_blocks.2.1.norm"),
        ("up_blocks.1.attentions.0.norm", "output_blocks.3.1.norm"),
        ("down_blocks.0.resnets.1.conv1", "input_blocks.2.0.in_layers.2"),
        ("down_blocks.1.resnets.0.conv_shortcut", "input_blocks.4.0.skip_connection"),
        ("down_blocks.0.downsamplers.0.conv", "input_blocks.3.0.op"),
        ("mid_block.resnets.1.time_emb_proj", "middle_block.2.emb_layers.1"),
        ("up_blocks.1.upsamplers.0.conv", "output_blocks.5.2.conv"),
        ("up_blocks.2.resnets.2.norm2", "output_blocks.8.0.out_layers.0"),
        ("conv_in", "input_blocks.0.0"),
        ("conv_norm_out", "out.0"),
    ],
)
def test_blocks_are_numbered_as_stability_does(path, expected):
    assert sgm_path(path) == expected
