from lora_widgets.config.fields import fields
from lora_widgets.config.reference import settings_table
from lora_widgets.config.training_config import TrainingConfig


def test_every_setting_has_one_row_of_four_cells():
    table = settings_table()
    for spec in fields(TrainingConfig):
        (row,) = [line for line in table.splitlines() if line.startswith(f"| `{spec.name}` |")]
        assert row.replace("\\|", "").count("|") == 5
        assert ("Not active yet" in row) == spec.not_yet


def test_tabs_are_headings_in_order():
    headings = [line[4:] for line in settings_table().splitlines() if line.startswith("### ")]
    assert headings == ["Setup", "Dataset", "LoRA", "Learning Rate", "Advanced", "Saving", "Logging"]


def test_inactive_choices_and_conditions_are_said():
    table = settings_table()
    assert "ckpt (not yet)" in table
    assert "Only with `lr_scheduler` polynomial." in table
    assert "whole number at least 1 and at most 12 (layers)" in table
