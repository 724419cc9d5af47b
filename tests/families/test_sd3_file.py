"""SD3 and SD3.5 from single files: the same numbers as from the folder, and what can be wrong."""

from types import SimpleNamespace

import pytest
import torch
from safetensors.torch import load_file, save_file
from tiny import make_tiny_file, module_of

from lora_widgets.errors import ModelError
from lora_widgets.families.family import open_family

MODEL = "pretrained_model_name_or_path"
PARTS = ("vae", "clip_l", "clip_g", "t5", "transformer")
OWN_FILES = {
    "clip_l_path": "tiny-sd3-clip_l",
    "clip_g_path": "tiny-sd3-clip_g",
    "t5xxl_path": "tiny-t5xxl",
}
ENCODERS = dict(zip(OWN_FILES, PARTS[1:4], strict=True))


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    """Return the paths of the files of the tiny SD3 and SD3.5, by their names."""
    folder = tmp_path_factory.mktemp("tiny_sd3_files")
    names = ("tiny-sd3", "tiny-sd35m", *OWN_FILES.values())
    return {name: str(make_tiny_file(f"{name}.safetensors", folder)) for name in names}


@pytest.fixture
def open_sd3_file(files, tiny_sd3, open_tiny_sd3):
    """Open the single file of SD3 with changed settings."""
    own = {MODEL: files["tiny-sd3"], "model_config_path": str(tiny_sd3), "tokenizer_path": str(tiny_sd3)}
    return lambda **changes: open_tiny_sd3(**(own | changes))


@pytest.fixture
def changed(files, tmp_path):
    """Save one of the files with its tensors changed by a function of all of them."""

    def save(name, change):
        path = tmp_path / f"{name}.safetensors"
        save_file(change(load_file(files[name])), path)
        return str(path)

    return save


@pytest.fixture
def bare(changed):
    """Return the path of an SD3 file without text encoders."""

    def without(tensors):
        return {name: tensor for name, tensor in tensors.items() if not name.startswith("text_encoders.")}

    return changed("tiny-sd3", without)


def loaded(family):
    """Load everything and copy the weights: those of a folder stay mapped, and sums are rounded otherwise."""
    family.vae.load("cpu", torch.float32)
    family.text.load("cpu", torch.float32)
    family.load_denoiser("cpu", torch.float32)
    for part in PARTS:
        for parameter in module_of(family, part).parameters():
            parameter.data = parameter.data.clone()
    return family


def outputs(family):
    with torch.no_grad():
        text = family.encode_text(["a cat on a mat"], skip=1)
        noisy = torch.randn(1, 16, 8, 4, generator=torch.Generator().manual_seed(0))
        pixels = torch.rand(1, 3, 64, 64, generator=torch.Generator().manual_seed(1)) * 2 - 1
        latents = family.vae.encode(pixels, generator=torch.Generator().manual_seed(2))
        predicted = family.predict(noisy, torch.tensor([500.0]), text, torch.zeros(1, 6))
        return text.hidden, text.pooled, latents, family.vae.decode(latents), predicted


def assert_same(left, right):
    for part in PARTS:
        ours, theirs = module_of(left, part).state_dict(), module_of(right, part).state_dict()
        assert ours.keys() == theirs.keys()
        assert all(torch.equal(tensor, theirs[name]) for name, tensor in ours.items())
    for ours, theirs in zip(outputs(left), outputs(right), strict=True):
        assert torch.equal(ours, theirs)


@pytest.mark.parametrize(("name", "folder"), [("tiny-sd3", "tiny_sd3"), ("tiny-sd35m", "tiny_sd35")])
def test_a_file_computes_what_the_folder_computes_bit_by_bit(
    open_sd3_file, open_tiny_sd3, files, name, folder, request
):
    family = loaded(open_sd3_file(**{MODEL: files[name]}))
    same = loaded(open_tiny_sd3(**{MODEL: str(request.getfixturevalue(folder))}))
    assert_same(family, same)
    theirs = same.identity() | {"ss_sd_model_name": f"{name}.safetensors"}
    assert family.identity() == theirs
    assert family.weights_file.name == f"{name}.safetensors"


def test_text_encoders_can_be_beside_the_file(open_sd3_file, open_tiny_sd3, files, bare):
    own = {setting: files[name] for setting, name in OWN_FILES.items()}
    assert_same(loaded(open_sd3_file(**{MODEL: bare}, **own)), loaded(open_tiny_sd3()))


def test_a_vae_can_be_beside_the_file(open_sd3_file, open_tiny_sd3, tiny_sd3):
    family = open_sd3_file(vae_path=str(tiny_sd3 / "vae" / "diffusion_pytorch_model.safetensors"))
    assert_same(loaded(family), loaded(open_tiny_sd3()))
    assert family.identity()["ss_vae_name"] == "diffusion_pytorch_model.safetensors"


@pytest.mark.parametrize(("setting", "part"), ENCODERS.items())
def test_a_file_replaces_the_text_encoder_of_a_folder(open_tiny_sd3, changed, setting, part):
    path = changed(OWN_FILES[setting], lambda tensors: {name: t + 1 for name, t in tensors.items()})
    own, other = open_tiny_sd3(), open_tiny_sd3(**{setting: path})
    for family in (own, other):
        family.text.load("cpu", torch.float32)
    for ours, theirs in zip(
        module_of(other, part).parameters(), module_of(own, part).parameters(), strict=True
    ):
        assert torch.equal(ours, theirs + 1)


def test_a_file_without_t5_can_be_trained_and_says_so(open_sd3_file, files, bare):
    own = {setting: files[OWN_FILES[setting]] for setting in ("clip_l_path", "clip_g_path")}
    family = open_sd3_file(**{MODEL: bare}, **own)
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


@pytest.mark.parametrize(
    ("setting", "name", "words"),
    [
        (
            "clip_g_path",
            "tiny-t5xxl",
            "which is a T5 text encoder, but the CLIP-G text encoder belongs there",
        ),
        (
            "t5xxl_path",
            "tiny-sd3-clip_l",
            "which is a CLIP text encoder, but the T5-XXL text encoder belongs",
        ),
        ("vae_path", "tiny-sd3-clip_l", "but a VAE belongs there"),
        (MODEL, "tiny-t5xxl", "which is a T5 text encoder, not a base model"),
    ],
)
def test_files_that_are_exchanged_are_told(open_sd3_file, files, setting, name, words):
    with pytest.raises(ModelError, match=words):
        open_sd3_file(**{setting: files[name]})


def test_a_file_of_sd3_is_refused_by_the_others(files):
    settings = SimpleNamespace(model_type="SDXL", **{MODEL: files["tiny-sd35m"]})
    with pytest.raises(ModelError, match=r"is a SD3.5 model, but `model_type` is SDXL.* `model_type` to SD3"):
        open_family(settings)


def test_the_tensors_tell_which_of_the_models_a_file_is(open_sd3_file, files, changed):
    def without_second_attention(tensors):
        return {name: tensor for name, tensor in tensors.items() if ".attn2." not in name}

    kinds = {
        files["tiny-sd3"]: "stable-diffusion-3-m/lora",
        files["tiny-sd35m"]: "stable-diffusion-3-5-medium/lora",
        changed("tiny-sd35m", without_second_attention): "stable-diffusion-3-5-large/lora",
    }
    for path, kind in kinds.items():
        assert open_sd3_file(**{MODEL: path}).identity()["modelspec.architecture"] == kind


def test_a_missing_tensor_is_named(open_sd3_file, changed):
    def without(tensors):
        del tensors["model.diffusion_model.joint_blocks.1.x_block.mlp.fc2.bias"]
        return tensors

    family = open_sd3_file(**{MODEL: changed("tiny-sd3", without)})
    with pytest.raises(ModelError, match="The transformer in `pretrained_model_name_or_path`") as caught:
        family.load_denoiser("cpu", torch.float32)
    assert "joint_blocks.1.x_block.mlp.fc2.bias" in str(caught.value)
