"""The tools, from path to path, on tiny models of every family."""

import pytest
import torch
from adapter_files import FAMILIES, VERSIONS, change_of, first_case, quiet, random_adapter
from safetensors import safe_open
from safetensors.torch import load_file, save_file

from lora_widgets.errors import ConfigError, ModelError, StateError
from lora_widgets.lora_files import tools
from lora_widgets.lora_files.base_model import open_base
from lora_widgets.lora_files.describe import words_for
from lora_widgets.lora_files.lora_file import read_lora
from lora_widgets.lora_files.lowrank import Keep

MODELS = list(FAMILIES)


def write_adapter(path, model="sd15", *, seed=0, scale=1.0, only="", **metadata):
    """Write a random adapter with the recorded names; ``only`` are beginnings of the modules to keep."""
    tensors = random_adapter(first_case(model), seed)
    kept = {k: t * scale if "lora_up" in k else t for k, t in tensors.items() if k.startswith(only)}
    about = {"ss_base_model_version": VERSIONS[FAMILIES[model]], **metadata}
    save_file(kept, path, about)
    return path


@pytest.fixture
def adapter(tmp_path):
    return write_adapter(tmp_path / "style.safetensors", ss_training_comment="first try")


@pytest.mark.parametrize("layout", ["folder", "file"])
@pytest.mark.parametrize("model", MODELS)
def test_extracting_what_was_merged_finds_it_again(model, layout, tiny_models, tmp_path):
    base = tiny_models(model, layout)
    only = "lora_unet" if model == "flux" and layout == "file" else ""  # its file has no text encoders
    lora = write_adapter(tmp_path / "style.safetensors", model, scale=0.1, only=only)
    tuned = tmp_path / f"tuned{base.suffix}"
    tools.merge_into_model(base, [(lora, 0.5)], tuned, precision=None, progress=quiet)
    found = tmp_path / "found.safetensors"
    kept = tools.extract_file(base, tuned, found, keep=Keep(rank=4), precision=None, progress=quiet)
    assert min(kept.shares.values()) > 0.9999
    merged, extracted = read_lora(lora).modules, read_lora(found).modules
    assert extracted.keys() == merged.keys()
    for name, tensors in merged.items():
        wanted = 0.5 * change_of(tensors)
        assert (change_of(extracted[name]) - wanted).norm() <= 1e-4 * wanted.norm(), name


def test_a_model_with_an_adapter_merged_in_is_a_whole_model(tiny_models, tmp_path):
    base = tiny_models("sd15", "folder")
    lora = write_adapter(tmp_path / "style.safetensors", only="lora_unet")
    tools.merge_into_model(base, [(lora, 1.0)], tmp_path / "new", precision="fp16", progress=quiet)
    assert (tmp_path / "new" / "model_index.json").is_file()
    assert (tmp_path / "new" / "tokenizer").is_dir()
    unet = "unet/diffusion_pytorch_model.safetensors"
    before, after = load_file(base / unet), load_file(tmp_path / "new" / unet)
    assert after.keys() == before.keys()
    assert {tensor.dtype for tensor in after.values()} == {torch.float16}
    name = "mid_block.attentions.0.proj_in.weight"
    change = change_of(read_lora(lora).modules["lora_unet_mid_block_attentions_0_proj_in"])
    assert torch.allclose(after[name].float().flatten(1), before[name].flatten(1) + change.float(), atol=2e-2)
    same = "conv_in.weight"
    assert torch.equal(after[same], before[same].half())


@pytest.mark.parametrize("model", MODELS)
def test_both_layouts_of_a_model_hold_the_same_modules(model, tiny_models):
    folder, file = (open_base(tiny_models(model, layout), family=None) for layout in ("folder", "file"))
    shared = [name for name in file.modules if name in folder.modules and file.modules[name].weight]
    assert len(shared) > 30
    for name in shared:
        ours, theirs = (base.stacked(base.modules[name].weight) for base in (folder, file))
        assert torch.equal(ours.flatten(), theirs.flatten()), name


def test_resizing_keeps_the_share_that_was_asked_for(adapter, tmp_path):
    kept = tools.resize_file(
        adapter,
        tmp_path / "small.safetensors",
        keep=Keep(norm_share=0.9),
        base=None,
        precision=None,
        progress=quiet,
    )
    assert min(kept.ranks.values()) < 4
    before, after = read_lora(adapter), read_lora(tmp_path / "small.safetensors")
    for name, tensors in before.modules.items():
        whole, lost = change_of(tensors), change_of(tensors) - change_of(after.modules[name])
        assert (1 - (lost.norm() / whole.norm()) ** 2) ** 0.5 >= 0.9 - 1e-6
        assert kept.shares[name] >= 0.9
    assert after.metadata["ss_network_dim"] == "Dynamic"
    assert after.metadata["ss_training_comment"] == "first try"


def test_resizing_to_the_rank_it_has_changes_nothing(adapter, tmp_path):
    tools.resize_file(
        adapter, tmp_path / "same.safetensors", keep=Keep(rank=64), base=None, precision=None, progress=quiet
    )
    after = read_lora(tmp_path / "same.safetensors").modules
    for name, tensors in read_lora(adapter).modules.items():
        wanted = change_of(tensors)
        assert (change_of(after[name]) - wanted).norm() <= 1e-6 * wanted.norm()


@pytest.mark.parametrize(
    ("keep", "rank"),
    [
        (Keep(rank=2), 2),
        (Keep(rank=9), 4),
        (Keep(ratio=2.0), 2),
        (Keep(norm_share=1.0), 4),
        (Keep(norm_share=0.95), 2),
        (Keep(norm_share=0.99, rank=1), 1),
    ],
)
def test_what_is_kept_follows_the_rules(keep, rank):
    assert keep.rank_for(torch.tensor([4.0, 2.0, 1.0, 0.5])) == rank


def test_the_sum_of_several_is_exact(adapter, tmp_path):
    other = write_adapter(tmp_path / "other.safetensors", seed=7, only="lora_unet_mid")
    target = tmp_path / "both.safetensors"
    tools.merge_files(
        [(adapter, 0.7), (other, -0.2)], target, keep=None, base=None, precision=None, progress=quiet
    )
    one, two, both = (read_lora(path) for path in (adapter, other, target))
    assert both.modules.keys() == one.modules.keys()
    for name, tensors in both.modules.items():
        wanted = 0.7 * change_of(one.modules[name])
        if name in two.modules:
            wanted = wanted - 0.2 * change_of(two.modules[name])
        assert (change_of(tensors) - wanted).norm() <= 1e-6 * wanted.norm()
    assert both.metadata["modelspec.merged_from"] == "style.safetensors:0.7, other.safetensors:-0.2"


def test_a_converted_file_says_what_it_said_and_has_hashes_of_its_own(adapter, tmp_path):
    target = tmp_path / "new.safetensors"
    tools.convert_file(adapter, target, dialect="native", precision="fp16")
    facts = tools.inspect_file(target)
    assert (facts.family, facts.dialect, dict(facts.dtypes)) == ("SD1.5", "native", {"float16": 612})
    assert facts.metadata["ss_training_comment"] == "first try"
    assert facts.stated == facts.hashes


def test_inspecting_tells_parts_types_ranks_and_alphas(adapter):
    text = words_for(tools.inspect_file(adapter))
    assert "SD1.5, names as kohya has them" in text
    assert "lora_te: 12 modules, 3,584 numbers" in text
    assert "type  LoRA" in text
    assert "rank  4" in text
    assert "alpha 1" in text
    assert "ss_training_comment = first try" in text


def test_a_sound_file_has_no_problems(adapter, tiny_models):
    assert tools.check_file(adapter, base=tiny_models("sd15", "file")) == []


def test_checking_names_every_kind_of_problem(adapter, tiny_models, tmp_path):
    tensors = load_file(adapter)
    ups = sorted(name for name in tensors if name.endswith("lora_up.weight"))
    tensors[ups[0]][0, 0] = float("nan")
    tensors[ups[1]].zero_()
    tensors["embedding"] = torch.ones(3)
    tensors["lora_unet_mid_block_attentions_7_proj_in.diff"] = torch.ones(2)
    tensors[ups[2]] = torch.ones(5, tensors[ups[2]].shape[1])
    broken = tmp_path / "broken.safetensors"
    save_file(tensors, broken, {"ss_base_model_version": "sd_v1"})
    found = tools.check_file(broken, base=tiny_models("sd15", "folder"))
    wanted = ["NaN or infinite", "no adapter type", "all zero", "not in the base model", "other sizes"]
    assert [problem for problem in found if any(words in problem for words in wanted)] == found
    assert len(found) == len(wanted)
    assert "It is for SD1.5, the base model is SDXL." in tools.check_file(
        broken, base=tiny_models("sdxl", "file")
    )


def test_nothing_is_overwritten(adapter, tmp_path):
    before = adapter.read_bytes()
    with pytest.raises(ConfigError, match=r"nothing is overwritten.*such as style-2\.safetensors"):
        tools.convert_file(adapter, adapter, dialect="native", precision=None)
    assert adapter.read_bytes() == before
    with pytest.raises(ConfigError, match="there is no folder"):
        tools.convert_file(adapter, tmp_path / "none" / "a.safetensors", dialect="native", precision=None)


def test_a_merge_that_fails_leaves_no_file(tiny_models, tmp_path):
    base = tiny_models("sd15", "file")
    name = "lora_unet_mid_block_attentions_0_proj_in"
    wrong = {f"{name}.lora_down.weight": torch.ones(1, 3), f"{name}.lora_up.weight": torch.ones(3, 1)}
    save_file(wrong, tmp_path / "wrong.safetensors", {"ss_base_model_version": "sd_v1"})
    target = tmp_path / "new.safetensors"
    with pytest.raises(ModelError, match="does not fit the base model"):
        tools.merge_into_model(
            base, [(tmp_path / "wrong.safetensors", 1.0)], target, precision=None, progress=quiet
        )
    assert sorted(path.name for path in tmp_path.iterdir() if path.is_file()) == ["wrong.safetensors"]


def test_files_that_do_not_go_together_are_refused(adapter, tiny_models, tmp_path):
    sdxl = write_adapter(tmp_path / "xl.safetensors", "sdxl")
    target = tmp_path / "new.safetensors"
    with pytest.raises(ConfigError, match=r"different families \(SD1.5 and SDXL\)"):
        tools.merge_files(
            [(adapter, 1.0), (sdxl, 1.0)], target, keep=None, base=None, precision=None, progress=quiet
        )
    with pytest.raises(ConfigError, match="nothing to merge"):
        tools.merge_files([(adapter, 1.0)], target, keep=None, base=None, precision=None, progress=quiet)
    with pytest.raises(ConfigError, match="The adapter is for SDXL, but the base model is SD1"):
        tools.merge_into_model(
            tiny_models("sd15", "file"), [(sdxl, 1.0)], target, precision=None, progress=quiet
        )
    with pytest.raises(ModelError, match="is a LoRA or another adapter, not a base"):
        tools.merge_into_model(adapter, [(adapter, 1.0)], target, precision=None, progress=quiet)
    with pytest.raises(ConfigError, match="Is it the same file twice"):
        base = tiny_models("sd15", "file")
        tools.extract_file(base, base, target, keep=Keep(rank=4), precision=None, progress=quiet)


def test_a_file_that_is_no_adapter_is_named(tiny_models, tmp_path):
    with pytest.raises(StateError, match="holds no weight of an adapter"):
        read_lora(tiny_models("sd15", "file"))
    with pytest.raises(StateError, match="is not there"):
        tools.inspect_file(tmp_path / "none.safetensors")


@pytest.mark.parametrize("keep", [{}, {"rank": 0}, {"norm_share": 1.5}, {"ratio": 0.5}])
def test_what_keeps_nothing_is_refused(keep):
    with pytest.raises(ConfigError):
        Keep(**keep)


@pytest.mark.parametrize("suffix", [".ckpt", ".pt"])
def test_pickles_are_written_and_read(adapter, suffix, tmp_path):
    target = tmp_path / f"old{suffix}"
    tools.convert_file(adapter, target, dialect="kohya", precision=None)
    assert read_lora(target).modules.keys() == read_lora(adapter).modules.keys()


def test_every_name_of_a_written_model_can_be_read_by_the_library(tiny_models, tmp_path, adapter):
    target = tmp_path / "new.safetensors"
    tools.merge_into_model(
        tiny_models("sd15", "file"), [(adapter, 1.0)], target, precision="bf16", progress=quiet
    )
    with safe_open(target, framework="pt") as file:
        assert {file.get_tensor(n).dtype for n in file.keys()} <= {torch.bfloat16, torch.int64}  # noqa: SIM118
