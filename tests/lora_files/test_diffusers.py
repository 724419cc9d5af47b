"""Files for diffusers, loaded by diffusers itself: it changes every weight as our merging does."""

import pytest
import torch
from adapter_files import FAMILIES, VERSIONS, first_case, quiet, random_adapter
from diffusers import FluxTransformer2DModel, SD3Transformer2DModel, UNet2DConditionModel
from safetensors.torch import load_file, save_file

from lora_widgets.lora_files import tools

DENOISERS = {
    "sd15": ("unet", UNet2DConditionModel),
    "sdxl": ("unet", UNet2DConditionModel),
    "flux": ("transformer", FluxTransformer2DModel),
    "sd3": ("transformer", SD3Transformer2DModel),
    "sd35m": ("transformer", SD3Transformer2DModel),
}


@pytest.mark.parametrize("model", list(FAMILIES))
def test_diffusers_changes_each_weight_as_merging_does(model, tiny_models, tmp_path):
    part, kind = DENOISERS[model]
    base = tiny_models(model, "folder")
    source, named = tmp_path / "style.safetensors", tmp_path / "named.safetensors"
    save_file(random_adapter(first_case(model)), source, {"ss_base_model_version": VERSIONS[FAMILIES[model]]})
    tools.convert_file(source, named, dialect="diffusers", precision=None)
    tools.merge_into_model(base, [(source, 1.0)], tmp_path / "merged", precision=None, progress=quiet)

    denoiser = kind.from_pretrained(base, subfolder=part)
    denoiser.load_lora_adapter(load_file(named), prefix=part)
    denoiser.fuse_lora()
    denoiser.unload_lora()
    wanted = kind.from_pretrained(tmp_path / "merged", subfolder=part).state_dict()
    found = denoiser.state_dict()
    assert found.keys() == wanted.keys()
    before = kind.from_pretrained(base, subfolder=part).state_dict()
    changed = [name for name in wanted if not torch.equal(wanted[name], before[name])]
    assert len(changed) > 20
    for name in wanted:
        assert torch.allclose(found[name], wanted[name], atol=1e-5), name
