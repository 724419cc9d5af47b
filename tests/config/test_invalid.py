import pytest

from lora_widgets.config.findings import check
from lora_widgets.config.invalid import shown

GOOD = {
    "project_name": "c",
    "model_path": "demo",
    "dataset_dir": "demo",
    "output_dir": "o",
    "model_type": "SD1.5",
}


@pytest.mark.parametrize(
    ("name", "value", "message"),
    [
        (
            "resolution",
            0,
            "`resolution` is 0, but must be at least 64: a model cannot learn from fewer pixels.",
        ),
        ("num_repeats", 0, "`num_repeats` is 0, but must be at least 1."),
        ("network_dim", 2000, "`network_dim` is 2000, but must be at most 1024."),
        ("lr_power", 0, "`lr_power` is 0, but must be above 0."),
        ("network_dropout", 1, "`network_dropout` is 1, but must be below 1."),
        ("unet_lr", float("nan"), "`unet_lr` is nan, but must be a finite number."),
        ("unet_lr", float("inf"), "`unet_lr` is inf, but must be a finite number."),
        ("unet_lr", "fast", "`unet_lr` is 'fast', but must be a number."),
        ("unet_lr", None, "`unet_lr` is None, but must be a number."),
        ("seed", 1.5, "`seed` is 1.5, but must be a whole number."),
        ("seed", True, "`seed` is True, but must be a whole number."),
        ("flip_aug", "maybe", "`flip_aug` is 'maybe', but must be true or false."),
        ("output_dir", "", "`output_dir` is '', but must not be empty."),
        ("output_dir", [1], "`output_dir` is [1] (list), but must be text."),
        ("bucket_reso_steps", 20, "`bucket_reso_steps` is 20, but must be a multiple of 8."),
        ("mixed_precision", "fp8", "`mixed_precision` is 'fp8', but must be one of: no, fp16, bf16."),
        ("caption_separator", "," * 200, None),
        (
            "optimizer_args",
            "eps",
            "`optimizer_args` is 'eps', but 'eps' is not of the form name=value, separated by blanks.",
        ),
        ("wandb_key", 3, "`wandb_key` is hidden, but must be text."),
        (
            "resolution",
            "big",
            '`resolution` is \'big\', but must be a number, or "width,height" such as "832,1216".',
        ),
    ],
)
def test_a_wrong_value_is_named_with_reason_and_remedy(name, value, message):
    (error,) = check({**GOOD, name: value}).errors
    assert error.settings == (name,)
    assert error.remedy
    if message is None:
        assert "at most 100 characters" in error.message
    else:
        assert error.message == message


def test_a_fix_brings_the_default_back():
    (error,) = check({**GOOD, "num_repeats": 0}).errors
    assert error.fix is not None
    assert error.fix.changes == {"num_repeats": 10}


@pytest.mark.parametrize(
    "name", ["project_name", "pretrained_model_name_or_path", "train_data_dir", "output_dir"]
)
def test_a_missing_value_is_explained(name):
    errors = check({}).errors
    (error,) = [error for error in errors if error.settings == (name,)]
    assert error.message == f"`{name}` is not set."
    assert len(error.remedy) > 30


def test_errors_come_in_the_order_of_the_form():
    names = [error.settings[0] for error in check({"seed": -1, "zzz": 1, "unet_lr": -1}).errors]
    assert names.index("project_name") < names.index("seed") < names.index("unet_lr") < names.index("zzz")


def test_long_values_are_shortened():
    assert len(shown("x" * 500)) <= 60
    assert shown(10**5000) == "a number with thousands of digits"
