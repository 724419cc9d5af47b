"""Which adapters diffusers has names for, and what programs make of those."""

import pytest
from situations import finding_of


@pytest.mark.parametrize(
    ("lora_type", "changes", "said"),
    [
        ("LoRA", {}, None),
        ("LoCon", {"use_tucker": True}, None),
        ("DoRA", {}, None),
        ("DoRA", {"wd_on_output": False}, "but `wd_on_output` is off"),
        ("LoCon", {"train_norm": True}, "no names for what `train_norm` adds"),
        ("LoRA", {"train_norm": True, "wd_on_output": False}, None),
        ("GLoRA", {}, "not GLoRA"),
    ],
)
def test_low_rank_types_with_a_size_for_each_output_have_names(lora_type, changes, said):
    given = {"save_dialect": "diffusers", "lora_type": lora_type, **changes}
    finding = finding_of("no_names_for_type", given, {})
    assert finding is None if said is None else said in finding.message


def test_dora_is_read_by_the_program_whose_names_it_has():
    by_dialect = {
        dialect: finding_of("files_of_few_programs", {"lora_type": "DoRA", "save_dialect": dialect}, {})
        for dialect in ("kohya", "diffusers")
    }
    assert "ComfyUI loads it; diffusers shows it wrongly" in by_dialect["kohya"].message
    assert "diffusers loads it; ComfyUI shows it wrongly" in by_dialect["diffusers"].message
