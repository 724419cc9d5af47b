"""Every optimizer of the catalog learns, and goes on after an interruption as if there had been none."""

import io

import pytest
import torch
from torch import nn

from lora_widgets.catalog.optimizers import OPTIMIZERS
from lora_widgets.config.rates import rates_at
from lora_widgets.config.rules.optimizer_rates import WITHOUT_WARMUP
from lora_widgets.config.training_config import TrainingConfig
from lora_widgets.training.optimizers import (
    averaged,
    build_optimizer,
    load_optimizer,
    rates_in_effect,
    set_rates,
)

TOTAL = 180
RATES = {
    "AdamW": 1e-2,
    "SGD": 1.0,
    "Lion": 3e-3,
    "Paged": 1e-2,
    "CAME": 1e-2,
    "Muon": 1e-2,
    "RAdam": 1e-2,
    "Adafactor": 1e-2,
}


def rate_for(row):
    if row.adaptive:
        return row.usual[0]
    name = row.name.removeprefix("Paged")
    return next(rate for start, rate in RATES.items() if name.startswith(start))


@pytest.fixture
def config_for():
    def make(name, **changes):
        rate = rate_for(OPTIMIZERS[name])
        values = {
            "project_name": "x",
            "pretrained_model_name_or_path": "demo",
            "train_data_dir": "demo",
            "output_dir": "out",
            "optimizer_type": name,
            "unet_lr": rate,
            "text_encoder_lr": rate,
            "lr_scheduler": "constant_with_warmup",
            "lr_warmup_ratio": 0.0 if name in WITHOUT_WARMUP else 0.05,
        }
        return TrainingConfig(**(values | changes))

    return make


@pytest.fixture(params=OPTIMIZERS, autouse=False)
def name(request):
    pytest.importorskip(OPTIMIZERS[request.param].import_path.partition(".")[0])
    return request.param


class Regression:
    """A low-rank product that is fitted, as an adapter is; large enough for 8-bit state, with one vector."""

    def __init__(self):
        g = torch.Generator().manual_seed(0)
        self.down = nn.Parameter(torch.randn(16, 256, generator=g) / 16)
        self.up = nn.Parameter(torch.zeros(320, 16))
        self.scale = nn.Parameter(torch.ones(320))
        self.x = torch.randn(512, 256, generator=g)
        self.y = self.x @ torch.randn(256, 4, generator=g) @ torch.randn(4, 320, generator=g) / 16

    @property
    def parameters(self):
        return {"a.lora_down": self.down, "a.lora_up": self.up, "a.scale": self.scale}

    def of_components(self):
        down, up, scale = self.parameters.items()
        return {"unet": dict([down, up]), "text_encoder": dict([scale])}

    def loss(self, step):
        x, y = self.x.roll(-64 * step, 0)[:64], self.y.roll(-64 * step, 0)[:64]
        return ((x @ self.down.T @ self.up.T) * self.scale - y).pow(2).mean()

    def train(self, config, optimizer, steps):
        for step in steps:
            set_rates(optimizer, rates_at(config, step, total=TOTAL))
            self.loss(step).backward()
            torch.nn.utils.clip_grad_norm_(self.parameters.values(), config.max_grad_norm)
            optimizer.step()
            optimizer.zero_grad(set_to_none=True)

    def whole_loss(self):
        with torch.no_grad():
            return float(((self.x @ self.down.T @ self.up.T) * self.scale - self.y).pow(2).mean())


def reloaded(state):
    """The state through a file, as resuming reads it."""
    file = io.BytesIO()
    torch.save(state, file)
    file.seek(0)
    return torch.load(file, map_location="cpu", weights_only=True)


def test_every_optimizer_learns(name, config_for):
    config, task = config_for(name), Regression()
    optimizer = build_optimizer(config, task.of_components())
    before = task.whole_loss()
    task.train(config, optimizer, range(TOTAL))
    with averaged(optimizer):
        assert task.whole_loss() < 0.9 * before
    assert all(rate > 0 for rate in rates_in_effect(optimizer).values())


def test_every_optimizer_goes_on_as_if_nothing_had_happened(name, config_for):
    config, whole, parts = config_for(name), Regression(), Regression()
    whole.train(config, build_optimizer(config, whole.of_components()), range(24))
    optimizer = build_optimizer(config, parts.of_components())
    parts.train(config, optimizer, range(11))
    with averaged(optimizer):
        pass
    state = reloaded(optimizer.state_dict())
    fresh = build_optimizer(config, parts.of_components())
    load_optimizer(fresh, state, config, source="state")
    parts.train(config, fresh, range(11, 24))
    for key, expected in whole.parameters.items():
        assert torch.equal(parts.parameters[key], expected), key


def test_a_row_says_truly_whether_the_weights_must_be_averaged(name, config_for):
    task = Regression()
    config = config_for(name)
    optimizer = build_optimizer(config, task.of_components())
    task.train(config, optimizer, range(12))
    trained = [p.detach().clone() for p in task.parameters.values()]
    with averaged(optimizer):
        same = all(map(torch.equal, task.parameters.values(), trained))
    assert same is not OPTIMIZERS[name].averages
    assert all(map(torch.equal, task.parameters.values(), trained))
