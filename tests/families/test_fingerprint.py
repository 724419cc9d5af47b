"""A part's origin is known without loading it, and changes whenever its fingerprint may."""

import os
import shutil
import time

import pytest
import torch
from safetensors.torch import load_file, save_file
from tiny import settings_for

from lora_widgets.families.family import open_family

HOUR = 3600
FAMILIES = ["tiny_sd15", "tiny_sdxl", "tiny_sd3", "tiny_flux"]


@pytest.fixture(params=FAMILIES)
def copy(request, tmp_path):
    """Return a copy of a tiny model that a test may change."""
    model = request.getfixturevalue(request.param)
    return shutil.copytree(model, tmp_path / request.param)


@pytest.fixture
def small(tiny_sd15, tmp_path):
    return shutil.copytree(tiny_sd15, tmp_path / "tiny_sd15")


def origins(model, dtype=torch.float32, **changes):
    """Return the origins of the autoencoder and of the text encoders of a model."""
    family = open_family(settings_for(model, **changes))
    return family.vae.origin(dtype), family.text.origin(dtype)


def test_it_stays_while_files_and_settings_do(copy):
    first = origins(copy)
    assert None not in first
    assert origins(copy) == first
    assert origins(copy, network_dim=2, train_batch_size=1) == first


@pytest.mark.parametrize("part", ["vae", "text_encoder"])
def test_a_file_of_the_same_size_is_another_by_any_of_its_times(small, part):
    (file,) = (small / part).glob("*.safetensors")
    before, facts = origins(small), file.stat()
    content = bytearray(file.read_bytes())
    content[-1] ^= 1
    file.write_bytes(content)
    os.utime(file, ns=(facts.st_atime_ns, facts.st_mtime_ns))
    sly = origins(small)
    os.utime(file, (time.time() - 2 * HOUR,) * 2)
    open_ = origins(small)
    at = ["vae", "text_encoder"].index(part)
    assert len({before[at], sly[at], open_[at]}) == 3
    assert before[1 - at] == sly[1 - at] == open_[1 - at]


def test_a_file_that_was_just_written_says_nothing(small):
    (file,) = (small / "vae").glob("*.safetensors")
    file.touch()
    assert origins(small)[0] is None


def test_missing_files_are_left_to_loading(small):
    family = open_family(settings_for(small))
    shutil.rmtree(small / "vae")
    shutil.rmtree(small / "tokenizer")
    assert family.vae.origin(torch.float32) is family.text.origin(torch.float32) is None


def test_another_configuration_is_another_part(copy):
    before = origins(copy)
    for part in ("vae", "text_encoder"):
        config = copy / part / "config.json"
        config.write_text(config.read_text().replace("silu", "gelu").replace("quick_gelu", "gelu"))
        os.utime(config, (time.time() - HOUR,) * 2)
    assert [new == old for new, old in zip(origins(copy), before, strict=True)] == [False, False]


@pytest.mark.parametrize(
    ("model", "changes", "vae", "text"),
    [
        ("tiny_sd15", {"vae_tiling": True}, True, False),
        ("tiny_flux", {"t5xxl_max_token_length": 65}, False, True),
        ("tiny_sd3", {"apply_t5_attn_mask": True}, False, True),
    ],
    ids=str,
)
def test_settings_that_decide_outputs_tell_parts_apart(request, model, changes, vae, text):
    folder = request.getfixturevalue(model)
    before, after = origins(folder), origins(folder, **changes)
    assert (before[0] != after[0], before[1] != after[1]) == (vae, text)


def test_the_format_tells_apart_what_is_kept_in_it(tiny_sd15):
    half = origins(tiny_sd15, torch.bfloat16, no_half_vae=False)
    full = origins(tiny_sd15, torch.float32, no_half_vae=False)
    assert half[0] != full[0]
    assert half[1] != full[1]
    assert origins(tiny_sd15, torch.bfloat16, no_half_vae=True)[0] == full[0]


def test_a_rule_of_the_tokenizer_counts_whatever_its_time(small):
    """Tokenizers are small: their content is read."""
    before, rules = origins(small), small / "tokenizer" / "merges.txt"
    facts = rules.stat()
    rules.write_text(rules.read_text()[::-1])
    os.utime(rules, ns=(facts.st_atime_ns, facts.st_mtime_ns))
    after = origins(small)
    assert (after[0] == before[0], after[1] == before[1]) == (True, False)


def test_a_single_file_that_changed_since_it_was_opened_is_not_taken_for_the_new_one(
    open_file, single_file, tmp_path
):
    path = shutil.copy(single_file, tmp_path)
    os.utime(path, (time.time() - HOUR,) * 2)
    old = open_file(pretrained_model_name_or_path=str(path))
    assert len({old.vae.origin(torch.float32), old.text.origin(torch.float32), None}) == 3
    tensors = load_file(path)
    save_file({name: tensor.double() for name, tensor in tensors.items()}, path)
    os.utime(path, (time.time() - HOUR,) * 2)
    new = open_file(pretrained_model_name_or_path=str(path))
    assert len({old.vae.origin(torch.float32), new.vae.origin(torch.float32), None}) == 3
