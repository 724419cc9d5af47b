"""Arguments of optimizers are read as data, and judged by name and kind before anything is imported."""

import subprocess
import sys

import pytest
from hypothesis import given
from hypothesis import strategies as st
from situations import BASE

from lora_widgets.catalog.optimizers import OPTIMIZERS
from lora_widgets.config.findings import check


def errors_of(optimizer, arguments, **changes):
    row = OPTIMIZERS[optimizer]
    rates = {"unet_lr": row.usual[0], "text_encoder_lr": row.usual[0], "lr_warmup_ratio": 0.0}
    values = {**BASE, **rates, "optimizer_type": optimizer, "optimizer_args": arguments, **changes}
    return [str(error) for error in check(values).errors]


@pytest.mark.parametrize("name", OPTIMIZERS)
def test_every_optimizer_is_fine_at_its_usual_rate(name):
    assert errors_of(name, None) == []


@pytest.mark.parametrize(
    ("optimizer", "arguments", "said"),
    [
        ("AdamW", "bettas=0.9,0.99", "Did you mean `betas`?"),
        ("AdamW", "d_coef=1", "AdamW has no argument 'd_coef'"),
        ("AdamW", "lr=1", "settings of its own"),
        ("AdamW", "betas=0.9,1.5", "must be two numbers from 0 to below 1"),
        ("CAME", "betas=0.9,0.99", "must be three numbers"),
        ("Adafactor", "eps=1e-8", "must be two small numbers"),
        ("Prodigy", "d_coef=-1", "must be a number above 0"),
        ("Prodigy", "decouple=maybe", "must be True or False"),
        ("Muon", "ns_steps=2.5", "must be a whole number"),
        ("AdamW", '{"eps": NaN}', "must be a small number"),
        ("AdamW", "weight_decay=-1", "must be a number of at least 0"),
        ("AdamW", "eps=__import__('os').abort()", "must be a small number"),
    ],
)
def test_what_is_wrong_is_said(optimizer, arguments, said):
    assert any(said in error for error in errors_of(optimizer, arguments))


def test_arguments_are_never_run():
    code = (
        "from lora_widgets.config.arguments import parse_arguments as p;"
        "print(p('eps=print(1) betas=(lambda: 1)() d0=[x for x in (1,)]'))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.count("\n") == 1
    assert "'print(1)'" in done.stdout


@given(st.sampled_from(sorted(OPTIMIZERS)), st.text(max_size=60))
def test_any_text_is_judged_without_an_exception(name, text):
    errors_of(name, text)
