"""Flux from single files: the same numbers as from the folder, and what can be wrong."""

import pytest
import torch
from safetensors.torch import load_file, save_file
from tiny import make_tiny, make_tiny_file, module_of

from lora_widgets.errors import ModelError
from lora_widgets.families.family import open_family
from lora_widgets.families.native_names import flux_transformer

MODEL = "pretrained_model_name_or_path"
PARTS = ("vae", "clip_l", "t5", "transformer")
OWN_FILES = {"vae_path": "tiny-flux-ae", "clip_l_path": "tiny-clip_l", "t5xxl_path": "tiny-t5xxl"}


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    """Return the paths of the files that make up a tiny Flux, by their names."""
    folder = tmp_path_factory.mktemp("tiny_flux_files")
    names = ("tiny-flux-dev", "tiny-flux-schnell", *OWN_FILES.values())
    return {name: str(make_tiny_file(f"{name}.safetensors", folder)) for name in names}


@pytest.fixture
def open_flux_file(files, tiny_flux, open_tiny_flux):
    """Open the single file with the parts beside it, and changed settings."""
    own = {setting: files[name] for setting, name in OWN_FILES.items()}
    own |= {
        MODEL: files["tiny-flux-dev"],
        "model_config_path": str(tiny_flux),
        "tokenizer_path": str(tiny_flux),
    }
    return lambda **changes: open_tiny_flux(**(own | changes))


@pytest.fixture
def changed(files, tmp_path):
    """Save one of the files with its tensors changed by a function of all of them."""

    def save(name, change):
        path = tmp_path / f"{name}.safetensors"
        save_file(change(load_file(files[name])), path)
        return str(path)

    return save


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


def test_files_compute_what_the_folder_computes_bit_by_bit(open_flux_file, open_tiny_flux):
    family = loaded(open_flux_file())
    assert_same(family, loaded(open_tiny_flux()))
    assert family.identity()["ss_sd_model_name"] == "tiny-flux-dev.safetensors"
    assert family.identity()["ss_vae_name"] == "tiny-flux-ae.safetensors"
    assert family.weights_file.name == "tiny-flux-dev.safetensors"


def test_a_file_of_schnell_is_known_by_what_it_lacks(open_flux_file, open_tiny_flux, files, tmp_path):
    folder = make_tiny("flux-schnell", tmp_path / "tiny_flux_schnell")
    length = {"t5xxl_max_token_length": None}
    family = loaded(open_flux_file(**{MODEL: files["tiny-flux-schnell"]}, **length))
    assert family.identity()["modelspec.architecture"] == "flux-1-schnell/lora"
    assert_same(family, loaded(open_tiny_flux(**{MODEL: str(folder)}, **length)))


def test_one_file_can_hold_everything(open_flux_file, open_tiny_flux, files, tmp_path):
    starts = {
        "tiny-flux-dev": "model.diffusion_model.",
        "tiny-flux-ae": "vae.",
        "tiny-clip_l": "text_encoders.clip_l.transformer.",
        "tiny-t5xxl": "text_encoders.t5xxl.transformer.",
    }
    tensors = {
        start + name: tensor
        for file, start in starts.items()
        for name, tensor in load_file(files[file]).items()
    }
    save_file(tensors, tmp_path / "whole.safetensors")
    family = open_flux_file(
        **{MODEL: str(tmp_path / "whole.safetensors")}, **dict.fromkeys(OWN_FILES), guidance_scale=1.0
    )
    assert_same(loaded(family), loaded(open_tiny_flux()))
    assert "ss_vae_name" not in family.identity()


@pytest.mark.parametrize(("setting", "part"), [("clip_l_path", "clip_l"), ("t5xxl_path", "t5")])
def test_a_file_replaces_the_text_encoder_of_a_folder(open_tiny_flux, changed, setting, part):
    path = changed(OWN_FILES[setting], lambda tensors: {name: t + 1 for name, t in tensors.items()})
    own, other = open_tiny_flux(), open_tiny_flux(**{setting: path})
    for family in (own, other):
        family.text.load("cpu", torch.float32)
    for ours, theirs in zip(
        module_of(other, part).parameters(), module_of(own, part).parameters(), strict=True
    ):
        assert torch.equal(ours, theirs + 1)


def test_the_two_names_of_t5s_embedding_stay_one_tensor(open_flux_file):
    family = open_flux_file()
    family.text.load("cpu", torch.bfloat16)
    t5 = family.t5.encoder.model
    assert t5.shared.weight is t5.encoder.embed_tokens.weight


def test_the_split_of_the_real_model_is_that_of_its_publisher():
    shapes = {name: shape for name, shape in real_shapes().items() if not name.startswith("guidance_in.")}
    places = flux_transformer(shapes, {})
    assert places["single_transformer_blocks.0.proj_mlp.weight"].shape == (12288, 3072)
    assert places["single_transformer_blocks.0.attn.to_v.bias"].shape == (3072,)


def real_shapes():
    """Return the names and shapes of a Flux of full width with one block of each kind."""
    width, mlp = 3072, 12288
    linear = {
        **{f"{name}_in.in_layer": (width, inputs) for name, inputs in (("time", 256), ("vector", 768))},
        **{f"{name}_in.out_layer": (width, width) for name in ("time", "vector")},
        "txt_in": (width, 4096),
        "img_in": (width, 64),
        "single_blocks.0.linear1": (3 * width + mlp, width),
        "single_blocks.0.linear2": (width, width + mlp),
        "single_blocks.0.modulation.lin": (3 * width, width),
        "final_layer.linear": (64, width),
        "final_layer.adaLN_modulation.1": (2 * width, width),
    }
    norms = {f"single_blocks.0.norm.{name}_norm.scale": (128,) for name in ("query", "key")}
    for stream in ("img", "txt"):
        start = f"double_blocks.0.{stream}"
        linear |= {
            f"{start}_mod.lin": (6 * width, width),
            f"{start}_attn.qkv": (3 * width, width),
            f"{start}_attn.proj": (width, width),
            f"{start}_mlp.0": (mlp, width),
            f"{start}_mlp.2": (width, mlp),
        }
        norms |= {f"{start}_attn.norm.{name}_norm.scale": (128,) for name in ("query", "key")}
    return {
        **norms,
        **{f"{name}.weight": shape for name, shape in linear.items()},
        **{f"{name}.bias": shape[:1] for name, shape in linear.items()},
    }


@pytest.mark.parametrize(
    ("setting", "words"), [("vae_path", "VAE"), ("clip_l_path", "CLIP-L"), ("t5xxl_path", "T5-XXL")]
)
def test_a_part_that_is_nowhere_is_asked_for(open_flux_file, setting, words):
    with pytest.raises(ModelError, match=rf"holds no .*{words}.*Set `{setting}` to a file with it"):
        open_flux_file(**{setting: None})


@pytest.mark.parametrize(
    ("setting", "name", "words"),
    [
        (
            "clip_l_path",
            "tiny-t5xxl",
            "which is a T5 text encoder, but the CLIP-L text encoder belongs there",
        ),
        ("t5xxl_path", "tiny-clip_l", "which is a CLIP text encoder, but the T5-XXL text encoder belongs"),
        ("vae_path", "tiny-clip_l", "but a VAE belongs there"),
        (MODEL, "tiny-t5xxl", "which is a T5 text encoder, not a base model"),
    ],
)
def test_files_that_are_exchanged_are_told(open_flux_file, files, setting, name, words):
    with pytest.raises(ModelError, match=words):
        open_flux_file(**{setting: files[name]})


def test_a_folder_in_place_of_a_text_encoders_file_is_refused(open_flux_file, tiny_flux):
    with pytest.raises(ModelError, match=r"`t5xxl_path` is .* must be a .safetensors file with the text enc"):
        open_flux_file(t5xxl_path=str(tiny_flux / "text_encoder_2"))


@pytest.mark.parametrize(("setting", "name"), [(MODEL, "tiny-flux-dev"), ("t5xxl_path", "tiny-t5xxl")])
def test_weights_with_scales_of_their_own_are_refused(open_flux_file, changed, setting, name):
    path = changed(name, lambda tensors: {**tensors, "a.scale_weight": torch.ones(1)})
    with pytest.raises(ModelError, match="quantised with scales of their own"):
        open_flux_file(**{setting: path})


def test_a_model_of_another_size_asks_for_its_configuration(open_flux_file):
    with pytest.raises(ModelError, match=r"is 64 wide; .* says 3072. Set `model_config_path`"):
        open_flux_file(model_config_path=None)


def test_a_missing_tensor_is_named(open_flux_file, changed):
    def without(tensors):
        del tensors["single_blocks.0.linear2.bias"]
        return tensors

    family = open_flux_file(**{MODEL: changed("tiny-flux-dev", without)})
    with pytest.raises(ModelError, match="The transformer in `pretrained_model_name_or_path`") as caught:
        family.load_denoiser("cpu", torch.float32)
    assert "single_blocks.0.linear2.bias" in str(caught.value)


def test_a_file_of_flux_is_refused_by_the_others(files):
    from types import SimpleNamespace

    settings = SimpleNamespace(model_type="SD1.5", **{MODEL: files["tiny-flux-dev"]})
    with pytest.raises(ModelError, match=r"which is a Flux model \(dev\), but `model_type` is SD1.5"):
        open_family(settings)


def test_offline_files_say_which_tokenizers_to_download(open_flux_file, tiny_flux):
    with pytest.raises(ModelError, match="hf download openai/clip-vit-large-patch14"):
        open_flux_file(tokenizer_path=None)
    with pytest.raises(ModelError) as caught:
        open_flux_file(tokenizer_path=str(tiny_flux / "tokenizer"))
    assert "`hf download google-t5/t5-small tokenizer.json tokenizer_config.json " in str(caught.value)
    assert "--local-dir tokenizer_2`, and copy the folder tokenizer_2 into that of `tokenizer_path`" in str(
        caught.value
    )


def test_tokenizers_come_from_the_hub_once(open_flux_file, tiny_flux, monkeypatch):
    asked = []

    def download(name, *, allow_patterns, ignore_patterns, tqdm_class):
        asked.append(name)
        return str(tiny_flux / ("tokenizer_2" if "t5" in name else "tokenizer"))

    monkeypatch.setattr("huggingface_hub.snapshot_download", download)
    family = open_flux_file(tokenizer_path=None)
    family.text.load("cpu", torch.float32)
    assert asked == ["openai/clip-vit-large-patch14", "google-t5/t5-small"]
    assert family.encode_text(["a cat"], skip=1).hidden.shape == (1, 64, 96)
