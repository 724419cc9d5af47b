"""SD3 and SD3.5 from single files: parts beside the file, parts that are missing, and which model it is."""

import pytest
import torch
from same_model import assert_same_model, loaded

from lora_widgets.errors import ModelError

MODEL = "pretrained_model_name_or_path"
OWN_FILES = {
    "clip_l_path": "tiny-sd3-clip_l",
    "clip_g_path": "tiny-sd3-clip_g",
    "t5xxl_path": "tiny-t5xxl",
}


@pytest.fixture
def open_sd3_file(open_transformer):
    """Open the single file of SD3 with changed settings."""
    return lambda **changes: open_transformer("SD3", as_files=True, **changes)


@pytest.fixture
def bare(changed):
    """Return the path of an SD3 file without text encoders."""

    def without(tensors):
        return {name: tensor for name, tensor in tensors.items() if not name.startswith("text_encoders.")}

    return changed("tiny-sd3", without)


def test_text_encoders_can_be_beside_the_file(open_sd3_file, open_transformer, files, bare):
    own = {setting: files[name] for setting, name in OWN_FILES.items()}
    assert_same_model(loaded(open_sd3_file(**{MODEL: bare}, **own)), loaded(open_transformer("SD3")))


def test_a_vae_can_be_beside_the_file(open_sd3_file, open_transformer, tiny_sd3):
    family = open_sd3_file(vae_path=str(tiny_sd3 / "vae" / "diffusion_pytorch_model.safetensors"))
    assert_same_model(loaded(family), loaded(open_transformer("SD3")))
    assert family.identity()["ss_vae_name"] == "diffusion_pytorch_model.safetensors"


def test_a_file_without_t5_can_be_trained_and_says_so(open_sd3_file, files, bare):
    own = {setting: files[OWN_FILES[setting]] for setting in ("clip_l_path", "clip_g_path")}
    family = open_sd3_file(**{MODEL: bare}, **own, t5xxl_max_token_length=None)
    (note,) = family.notes
    assert "comes without T5" in note
    assert "Set `t5xxl_path`" in note
    family.text.load("cpu", torch.float32)
    with torch.no_grad():
        assert not family.encode_text(["a cat"], skip=1).hidden[:, 77:].any()


@pytest.mark.parametrize(("setting", "words"), [("clip_l_path", "CLIP-L"), ("clip_g_path", "CLIP-G")])
def test_a_clip_that_is_nowhere_is_asked_for(open_sd3_file, files, bare, setting, words):
    own = {other: files[name] for other, name in OWN_FILES.items() if other != setting}
    with pytest.raises(ModelError, match=rf"holds no .*{words}.*Set `{setting}` to a file with it"):
        open_sd3_file(**{MODEL: bare}, **own)


@pytest.mark.parametrize("setting", ["clip_l_path", "clip_g_path"])
def test_a_clip_that_cannot_pool_is_refused(open_sd3_file, changed, setting):
    def without(tensors):
        return {name: tensor for name, tensor in tensors.items() if "text_projection" not in name}

    with pytest.raises(ModelError, match=rf"`{setting}` is .* has no projection of the pooled text"):
        open_sd3_file(**{setting: changed(OWN_FILES[setting], without)})


def test_the_tensors_tell_which_of_the_models_a_file_is(open_sd3_file, files, changed):
    def with_norms(tensors):
        norms = {
            name.replace("qkv.weight", f"ln_{which}.weight"): torch.ones(64)
            for name in tensors
            if name.endswith("attn.qkv.weight")
            for which in "qk"
        }
        return tensors | norms

    kinds = {
        files["tiny-sd3"]: "stable-diffusion-3-m/lora",
        files["tiny-sd35m"]: "stable-diffusion-3-5-medium/lora",
        changed("tiny-sd3", with_norms): "stable-diffusion-3-5-large/lora",
    }
    for path, kind in kinds.items():
        assert open_sd3_file(**{MODEL: path}).identity()["modelspec.architecture"] == kind
