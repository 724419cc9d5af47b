"""What can be wrong with the files of every family: the setting, the value, the reason and the remedy."""

import errno
import json
import shutil

import pytest
import torch
from safetensors.torch import load_file, save_file
from tiny import settings_for

from lora_widgets.errors import ModelError
from lora_widgets.families.family import open_family

MODEL = "pretrained_model_name_or_path"
FAMILIES = {"sd15": "SD1.5", "sdxl": "SDXL", "sd3": "SD3", "flux-dev": "Flux"}
NAMES = tuple(FAMILIES)
FLUX_PARTS = {"vae_path": "tiny-flux-ae", "clip_l_path": "tiny-clip_l", "t5xxl_path": "tiny-t5xxl"}
DENOISERS = {"sd15": "unet", "sdxl": "unet", "sd3": "transformer", "flux-dev": "transformer"}
INSIDE = {
    "vae": ("first_stage_model.", "`vae_path`"),
    "text encoder": (("cond_stage_model.", "conditioner.", "text_encoders."), "text encoder"),
}
OTHERS = [(name, other) for name in NAMES for other in NAMES if name != other]
WITH_OWN_ENCODERS = ("sd3", "flux-dev")


@pytest.fixture
def settings_of(folders, files):
    """Return a function that makes settings for a model as a folder or as a file, with changes."""

    def make(name, *, as_file, **changes):
        own = {"model_type": FAMILIES[name]}
        if as_file:
            own |= {"model_config_path": str(folders[name]), "tokenizer_path": str(folders[name])}
            own |= {s: str(files[f]) for s, f in FLUX_PARTS.items()} if name == "flux-dev" else {}
        model = files[f"tiny-{name}"] if as_file else folders[name]
        return settings_for(model, **(own | {key: str(value) for key, value in changes.items()}))

    return make


@pytest.fixture
def copy_of(folders, tmp_path):
    """Return a function that copies a folder, for a test to break."""
    return lambda name: shutil.copytree(folders[name], tmp_path / name)


def refused(settings, *words):
    """Return the message that opening, or checking what opening found, is refused with."""
    with pytest.raises(ModelError) as caught:
        list(open_family(settings).download())
    message = str(caught.value)
    assert [word for word in words if word not in message] == [], message
    return message


@pytest.mark.parametrize("as_file", [False, True], ids=["folder", "file"])
@pytest.mark.parametrize(("name", "other"), OTHERS)
def test_a_model_of_another_family(settings_of, folders, files, name, other, as_file):
    place = files[f"tiny-{other}"] if as_file else folders[other]
    refused(
        settings_of(name, as_file=as_file, **{MODEL: place}),
        f"`{MODEL}` is {str(place)!r}",
        f"`model_type` is {FAMILIES[name]}",
        f"`model_type` to {FAMILIES[other]}",
    )


@pytest.mark.parametrize("name", NAMES)
def test_a_lora_in_place_of_a_base_model(settings_of, tmp_path, name):
    path = tmp_path / "lora.safetensors"
    key = "lora_unet_single_blocks_0_linear1" if name == "flux-dev" else "lora_unet_mid_block_to_q"
    save_file({f"{key}.lora_{side}.weight": torch.ones(4, 4) for side in ("up", "down")}, path)
    refused(
        settings_of(name, as_file=True, **{MODEL: path}),
        f"`{MODEL}` is {str(path)!r}",
        "a LoRA or another adapter, not a base model",
        "`continue_from_lora`",
    )


@pytest.mark.parametrize("name", NAMES)
def test_a_file_that_was_not_copied_whole(settings_of, files, tmp_path, name):
    path = tmp_path / "half.safetensors"
    content = files[f"tiny-{name}"].read_bytes()
    path.write_bytes(content[: len(content) // 2])
    refused(settings_of(name, as_file=True, **{MODEL: path}), f"`{MODEL}`", "incomplete", "download it again")


@pytest.mark.parametrize("name", NAMES)
def test_a_denoiser_in_a_folder_that_was_not_copied_whole(settings_of, copy_of, name):
    """It is used last, after all pictures were encoded, and yet looked at before."""
    folder = copy_of(name)
    (file,) = (folder / DENOISERS[name]).glob("*.safetensors")
    file.write_bytes(file.read_bytes()[:-1000])
    refused(
        settings_of(name, as_file=False, **{MODEL: folder}),
        f"The {DENOISERS[name]} of the model",
        f"`{MODEL}`",
        "incomplete",
        "download it again",
    )


@pytest.mark.parametrize("name", NAMES)
def test_a_folder_whose_denoiser_has_no_weights(settings_of, copy_of, name):
    folder = copy_of(name)
    for file in (folder / DENOISERS[name]).glob("*.safetensors"):
        file.unlink()
    refused(
        settings_of(name, as_file=False, **{MODEL: folder}),
        f"The {DENOISERS[name]} of the model",
        f"`{MODEL}`",
        str(folder),
        "no weights",
        "Download",
    )


@pytest.mark.parametrize("part", ["vae", "text_encoder"])
@pytest.mark.parametrize("name", NAMES)
def test_a_folder_without_a_part(settings_of, copy_of, name, part):
    folder = copy_of(name)
    shutil.rmtree(folder / part)
    refused(settings_of(name, as_file=False, **{MODEL: folder}), f"`{MODEL}`", str(folder), part)


@pytest.mark.parametrize("part", INSIDE)
@pytest.mark.parametrize("name", ["sd15", "sdxl", "sd3"])
def test_a_file_without_a_part(settings_of, files, tmp_path, name, part):
    start, word = INSIDE[part]
    kept = {n: t for n, t in load_file(files[f"tiny-{name}"]).items() if not n.startswith(start)}
    save_file(kept, tmp_path / "part.safetensors")
    refused(
        settings_of(name, as_file=True, **{MODEL: tmp_path / "part.safetensors"}),
        f"`{MODEL}`",
        "holds no",
        word,
    )


@pytest.mark.parametrize(
    ("setting", "part"), [("vae_path", "VAE"), ("clip_l_path", "CLIP-L"), ("t5xxl_path", "T5-XXL")]
)
def test_a_file_of_flux_without_the_files_beside_it(settings_of, setting, part):
    settings = settings_of("flux-dev", as_file=True).with_changes(**{setting: None})
    refused(settings, f"`{MODEL}`", "holds no", part, f"Set `{setting}` to a file with it")


EXCHANGED = [
    ("clip_l_path", "tiny-t5xxl", "a T5 text encoder", "CLIP-L"),
    ("t5xxl_path", "tiny-clip_l", "a CLIP text encoder", "T5-XXL"),
    ("vae_path", "tiny-clip_l", "a CLIP text encoder", "a VAE"),
    ("clip_l_path", "tiny-flux-ae", "a VAE", "CLIP-L"),
]


@pytest.mark.parametrize(
    ("name", "setting", "file", "found", "wanted"),
    [
        *((name, *row) for name in WITH_OWN_ENCODERS for row in EXCHANGED),
        ("sd3", "clip_g_path", "tiny-t5xxl", "a T5 text encoder", "CLIP-G"),
    ],
)
def test_a_part_in_place_of_another(settings_of, files, name, setting, file, found, wanted):
    settings = settings_of(name, as_file=True, **{setting: files[file]})
    refused(settings, f"`{setting}` is {str(files[file])!r}", found, f"{wanted}", "Choose another file")


@pytest.mark.parametrize("name", WITH_OWN_ENCODERS)
def test_a_text_encoder_in_place_of_the_model(settings_of, files, name):
    settings = settings_of(name, as_file=True, **{MODEL: files["tiny-t5xxl"]})
    refused(settings, f"`{MODEL}` is", "which is a T5 text encoder, not a base model")


@pytest.mark.parametrize("name", NAMES)
def test_the_vae_of_the_other_families(settings_of, folders, name):
    other = folders["sd15" if name in WITH_OWN_ENCODERS else "flux-dev"] / "vae"
    found = 4 if name in WITH_OWN_ENCODERS else 16
    settings = settings_of(name, as_file=False, vae_path=other)
    refused(settings, "`vae_path`", str(other), f"{found}", "latent channels", "leave it empty")


@pytest.mark.parametrize("name", NAMES)
def test_a_vae_file_of_the_other_families(settings_of, folders, files, tmp_path, name):
    file = files["tiny-flux-ae"]
    if name in WITH_OWN_ENCODERS:
        file = folders["sd15"] / "vae" / "diffusion_pytorch_model.safetensors"
    settings = settings_of(name, as_file=True, vae_path=file)
    refused(settings, f"`vae_path` is {str(file)!r}", f"made for {FAMILIES[name]}")


@pytest.mark.parametrize("content", ['{"in_channels": ', "[1]"], ids=["torn", "no object"])
@pytest.mark.parametrize("name", NAMES)
def test_a_damaged_configuration(settings_of, copy_of, name, content):
    folder = copy_of(name)
    damaged = folder / ("vae" if content == "[1]" else DENOISERS[name]) / "config.json"
    damaged.write_text(content)
    refused(settings_of(name, as_file=False, **{MODEL: folder}), str(damaged), f"`{MODEL}`", "damaged")


@pytest.mark.parametrize("name", NAMES)
def test_the_configuration_of_another_size(settings_of, name):
    settings = settings_of(name, as_file=True).with_changes(model_config_path=None)
    refused(settings, f"`{MODEL}`", "et `model_config_path`")


@pytest.mark.parametrize("name", NAMES)
def test_a_single_file_without_internet_and_tokenizer(settings_of, name):
    settings = settings_of(name, as_file=True).with_changes(tokenizer_path=None)
    refused(settings, "`tokenizer_path`", "offline", "hf download openai/clip-vit-large-patch14")


@pytest.mark.parametrize("name", NAMES)
def test_a_hub_name_without_internet(settings_of, name):
    settings = settings_of(name, as_file=False, **{MODEL: "owner/nothing"})
    refused(settings, "owner/nothing", "offline", "hf download owner/nothing")


@pytest.mark.parametrize("name", NAMES)
def test_a_disk_that_fills_while_a_model_is_fetched(settings_of, monkeypatch, name):
    def full(*_arguments, **_keywords):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr("huggingface_hub.snapshot_download", full)
    settings = settings_of(name, as_file=False, **{MODEL: "owner/large"})
    refused(settings, "owner/large", "the disk is full", "HF_HOME")


class Bomb:
    """Writes a file where it is unpickled."""

    target = ""

    def __reduce__(self):
        return open, (Bomb.target, "w")


@pytest.mark.parametrize("setting", [MODEL, "vae_path", "clip_l_path", "t5xxl_path"])
@pytest.mark.parametrize("name", WITH_OWN_ENCODERS)
def test_a_pickle_with_a_program_in_it(settings_of, tmp_path, name, setting):
    Bomb.target = str(tmp_path / "it-ran")
    path = tmp_path / "bomb.ckpt"
    torch.save({"state_dict": {"weight": torch.zeros(2)}, "more": Bomb()}, path)
    settings = settings_of(name, as_file=True, **{setting: path})
    refused(settings, f"`{setting}` is {str(path)!r}", "holds more than weights", "Use a .safetensors file")
    assert not (tmp_path / "it-ran").exists()


@pytest.mark.parametrize(
    ("name", "setting", "wanted", "found"),
    [
        ("sd3", "clip_l_path", "CLIP-L", "CLIP-G"),
        ("sd3", "clip_g_path", "CLIP-G", "CLIP-L"),
        ("flux-dev", "clip_l_path", "CLIP-L", "CLIP-G"),
    ],
)
def test_the_other_clip(settings_of, tmp_path, name, setting, wanted, found):
    """The two are told apart by their width, which the tiny ones do not have."""
    width = {"CLIP-L": 768, "CLIP-G": 1280}[found]
    weight = torch.zeros(width, width, dtype=torch.float16)
    path = tmp_path / "clip.safetensors"
    save_file({"text_model.encoder.layers.0.self_attn.q_proj.weight": weight}, path)
    settings = settings_of(name, as_file=True, **{setting: path})
    refused(
        settings, f"`{setting}` is {str(path)!r}", f"a {found} text encoder", f"the {wanted} text encoder"
    )


@pytest.mark.parametrize("name", NAMES)
def test_a_folder_that_lacks_one_of_several_files(settings_of, copy_of, name):
    folder = copy_of(name)
    part = folder / DENOISERS[name]
    first, second = (f"diffusion_pytorch_model-0000{number}-of-00002.safetensors" for number in (1, 2))
    index = {"metadata": {}, "weight_map": {"a": first, "b": second}}
    (part / "diffusion_pytorch_model.safetensors").rename(part / first)
    (part / "diffusion_pytorch_model.safetensors.index.json").write_text(json.dumps(index))
    refused(
        settings_of(name, as_file=False, **{MODEL: folder}),
        f"The {DENOISERS[name]} of the model",
        f"`{MODEL}`",
        f"names {second}",
        "Download",
    )


def without(tensors, name):
    del tensors[name]


def with_another_size(tensors, name):
    tensors[name] = torch.cat([tensors[name]] * 2)


BREAKS = {"is missing": without, "not": with_another_size}
"""How a tensor can fail to fit, and what is said about it."""
IN_FILES = {
    "vae": ("decoder.norm_out.weight",),
    "text_encoder": ("layers.0.mlp.fc1.weight",),
    "denoiser": (
        *("model.diffusion_model.out.2.weight", "joint_blocks.0.x_block.mlp.fc1.weight"),
        "double_blocks.0.img_mlp.0.weight",
    ),
}
"""How names of tensors end that every single file with the part has; the first that is there is broken."""


def for_every_break(test):
    """Try each break in each part of each family."""
    for argument, values in (("said", BREAKS), ("part", IN_FILES), ("name", NAMES)):
        test = pytest.mark.parametrize(argument, values)(test)
    return test


def save_broken(whole, path, *, said, ends):
    """Save a file's tensors with the first broken whose name ends so; return the name."""
    tensors = load_file(whole)
    names = [name for name in sorted(tensors) if "embeddings" not in name]
    broken = next(name for end in ends for name in names if name.endswith(end))
    BREAKS[said](tensors, broken)
    save_file(tensors, path, metadata={"format": "pt"})
    return broken


@for_every_break
def test_a_folder_whose_tensors_do_not_fit_is_refused_before_it_is_loaded(
    settings_of, copy_of, name, part, said
):
    """The libraries would draw a missing tensor at random."""
    folder = copy_of(name)
    called = DENOISERS[name] if part == "denoiser" else part
    (file,) = (folder / called).glob("*.safetensors")
    broken = save_broken(file, file, said=said, ends=("weight",))
    refused(
        settings_of(name, as_file=False, **{MODEL: folder}),
        f"The {called} of the model in `{MODEL}` ({folder}) does not fit its config.json",
        f"{broken.removeprefix('text_model.')} is",
        said,
        "Download this folder again",
    )


@for_every_break
def test_a_file_whose_tensors_do_not_fit_is_refused_before_it_is_loaded(
    settings_of, files, tmp_path, name, part, said
):
    own = {"vae": "vae_path", "text_encoder": "clip_l_path"} if name == "flux-dev" else {}
    setting, path = own.get(part, MODEL), tmp_path / "broken.safetensors"
    save_broken(files[FLUX_PARTS.get(setting, f"tiny-{name}")], path, said=said, ends=IN_FILES[part])
    refused(
        settings_of(name, as_file=True, **{setting: path}),
        f"in `{setting}` ({path})",
        "does not fit its configuration",
        "`model_config_path`",
    )


@pytest.mark.parametrize("name", NAMES)
def test_a_configuration_that_no_model_can_be_built_of(settings_of, copy_of, name):
    folder = copy_of(name)
    path = folder / "vae" / "config.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | {"down_block_types": ["NoBlock2D"] * 4}))
    refused(
        settings_of(name, as_file=False, **{MODEL: folder}),
        f"The vae of the model in `{MODEL}`",
        "no AutoencoderKL can be built of it",
    )


def test_one_name_is_enough_for_embeddings_that_are_one(settings_of, files, tmp_path):
    """Files of T5 name theirs in one way or the other."""
    tensors = load_file(files["tiny-t5xxl"])
    tensors["encoder.embed_tokens.weight"] = tensors.pop("shared.weight")
    save_file(tensors, tmp_path / "t5.safetensors")
    family = open_family(settings_of("flux-dev", as_file=True, t5xxl_path=tmp_path / "t5.safetensors"))
    family.text.load("cpu", torch.float32)
    t5 = family.t5.encoder.model
    assert t5.shared.weight is t5.encoder.embed_tokens.weight
    assert torch.equal(t5.shared.weight, tensors["encoder.embed_tokens.weight"])
