"""Every optimizer of the catalog learns, and goes on after an interruption as if there had been none."""

import io

import pytest
import torch
from torch import nn

from lora_widgets.catalog.optimizers import OPTIMIZERS
from lora_widgets.config.rates import rates_at
from lora_widgets.config.rules.optimizer_rates import WITHOUT_WARMUP
from lora_widgets.config.training_config import TrainingConfig
from lora_widgets.errors import ConfigError, StateError
from lora_widgets.training.optimizers import (
    averaged,
    build_optimizer,
    load_optimizer,
    optimizer_keywords,
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
            "model_type": "SD1.5",
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


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_every_optimizer_moves_all_weights_that_are_halves(config_for, name, dtype):
    if dtype is torch.float16 and OPTIMIZERS[name].adaptive:
        pytest.skip("a finding refuses it")
    full = {torch.bfloat16: ("bf16", "full_bf16"), torch.float16: ("fp16", "full_fp16")}[dtype]
    config = config_for(name, mixed_precision=full[0], **{full[1]: True}, lr_scheduler="constant")
    weights = {part: nn.Parameter(torch.zeros(16, 32, dtype=dtype)) for part in ("a", "b")}
    optimizer, random = build_optimizer(config, {"unet": weights}), torch.Generator().manual_seed(0)
    for step in range(12):  # some take a few steps before they begin
        set_rates(optimizer, rates_at(config, step, total=TOTAL))
        for weight in weights.values():
            weight.grad = torch.rand(16, 32, generator=random).to(dtype) + 0.5
        optimizer.step()
    with averaged(optimizer):
        for weight in weights.values():
            assert torch.isfinite(weight).all()
            assert (weight != 0).all()


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


def named(*shapes):
    return {f"m{i}.{end}": nn.Parameter(torch.ones(shape)) for i, (end, shape) in enumerate(shapes)}


def summary(optimizer):
    return [(group["name"], len(group["params"]), group["lr"]) for group in optimizer.param_groups]


def test_every_component_has_a_group_at_its_rate(config_for):
    config = config_for("AdamW", model_type="SDXL", unet_lr=4e-4, text_encoder_lr=1e-4)
    parts = {part: named(("lora_down", (2, 3))) for part in ("unet", "text_encoder_1", "text_encoder_2")}
    optimizer = build_optimizer(config, parts)
    assert summary(optimizer) == [("unet", 1, 4e-4), ("text_encoder_1", 1, 1e-4), ("text_encoder_2", 1, 1e-4)]
    set_rates(optimizer, {"unet": 2e-4, "text_encoder_1": 0.0, "text_encoder_2": 1e-4})
    assert [group["lr"] for group in optimizer.param_groups] == [2e-4, 0.0, 1e-4]


def test_loraplus_lets_lora_up_learn_faster_in_the_parts_that_ask_for_it(config_for):
    config = config_for("AdamW", unet_lr=4e-4, text_encoder_lr=1e-4, loraplus_unet_lr_ratio=16)
    layers = (("lora_down", (2, 3)), ("lora_up", (3, 2)), ("lora_up.weight", (3, 2)))
    optimizer = build_optimizer(config, {"unet": named(*layers), "text_encoder": named(*layers)})
    assert summary(optimizer) == [("unet", 1, 4e-4), ("unet", 2, 64e-4), ("text_encoder", 3, 1e-4)]
    set_rates(optimizer, {"unet": 1e-4, "text_encoder": 1e-4})
    assert [group["lr"] for group in optimizer.param_groups] == [1e-4, 16e-4, 1e-4]
    assert rates_in_effect(optimizer) == {"unet": 1e-4, "text_encoder": 1e-4}


def test_muon_takes_matrices_alone(config_for):
    pytest.importorskip("pytorch_optimizer")
    layers = named(("lora_down", (2, 3)), ("scale", (4,)), ("lora_up", (3, 2, 1, 1)))
    optimizer = build_optimizer(config_for("Muon", weight_decay=0.2), {"unet": layers})
    assert [(group["use_muon"], len(group["params"])) for group in optimizer.param_groups] == [
        (True, 2),
        (False, 1),
    ]
    assert all(group["weight_decay"] == 0.2 for group in optimizer.param_groups)


def test_torch_optimizers_are_fused_unless_something_else_is_asked_for(config_for):
    assert optimizer_keywords(config_for("AdamW"))["fused"]
    assert "fused" not in optimizer_keywords(config_for("AdamW", optimizer_args="foreach=False"))
    assert not optimizer_keywords(config_for("AdamW", optimizer_args="fused=False"))["fused"]


def test_arguments_win_over_the_weight_decay_and_both_over_defaults(config_for):
    config = config_for("AdamW", weight_decay=0.1, optimizer_args="betas=0.8,0.9 weight_decay=0.3")
    keywords = optimizer_keywords(config)
    assert (keywords["betas"], keywords["weight_decay"], keywords["eps"]) == ((0.8, 0.9), 0.3, 1e-8)


def test_what_the_class_refuses_is_told_before_the_run(config_for):
    with pytest.raises(ConfigError, match="Correct the value or leave the argument out"):
        optimizer_keywords(config_for("AdamW", optimizer_args="betas=2,0.9"))


def test_a_missing_package_is_named_with_its_command(config_for, monkeypatch):
    monkeypatch.setitem(__import__("sys").modules, "prodigyopt", None)
    with pytest.raises(ConfigError, match="pip install -U prodigyopt"):
        optimizer_keywords(config_for("Prodigy"))


def test_a_package_that_is_too_old_is_told_like_one_that_is_missing(config_for, monkeypatch):
    package = pytest.importorskip("prodigyopt")
    monkeypatch.delattr(package, "Prodigy")
    with pytest.raises(ConfigError, match="pip install -U prodigyopt"):
        optimizer_keywords(config_for("Prodigy"))


def test_changed_arguments_act_after_an_interruption(config_for):
    parts = {"unet": named(("lora_down", (2, 3)))}
    first = build_optimizer(config_for("AdamW"), parts)
    changed = config_for("AdamW", weight_decay=0.5, optimizer_args="betas=0.5,0.6")
    resumed = build_optimizer(changed, parts)
    load_optimizer(resumed, first.state_dict(), changed, source="state")
    (group,) = resumed.param_groups
    assert (group["weight_decay"], group["betas"]) == (0.5, (0.5, 0.6))


def test_the_state_of_other_weights_is_refused(config_for):
    config = config_for("AdamW")
    saved = build_optimizer(config, {"unet": named(("lora_down", (2, 3)))}).state_dict()
    both = build_optimizer(config, {part: named(("lora_down", (2, 3))) for part in ("unet", "text_encoder")})
    with pytest.raises(StateError, match="belongs to other weights"):
        load_optimizer(both, saved, config, source="state")


def test_the_rate_that_is_told_is_the_one_that_was_found(config_for):
    pytest.importorskip("prodigyopt")
    config, task = config_for("Prodigy"), Regression()
    optimizer = build_optimizer(config, task.of_components())
    task.train(config, optimizer, range(40))
    found = rates_in_effect(optimizer)["unet"]
    assert found == pytest.approx(optimizer.param_groups[0]["d"])
    assert 1e-6 < found < 1


def test_every_argument_of_a_row_can_be_given(name, config_for):
    row = OPTIMIZERS[name]
    for argument, kind in row.arguments.items():
        config = config_for(name, optimizer_args=f"{argument}={kind.example}")
        build_optimizer(config, {"unet": named(("lora_down", (2, 3)), ("scale", (4,)))})


def test_parameters_of_any_shape_are_trained_and_those_without_gradient_left_alone(name, config_for):
    shapes = {"number": (), "vector": (5,), "kernel": (4, 3, 3, 3), "blocks": (2, 3, 3), "idle": (4, 4)}
    named = {key: nn.Parameter(torch.full(shape, 0.5)) for key, shape in shapes.items()}
    config = config_for(name)
    optimizer = build_optimizer(config, {"unet": named})
    for step in range(60):
        set_rates(optimizer, rates_at(config, step + 20, total=TOTAL))
        for key, parameter in named.items():
            parameter.grad = None if key == "idle" else parameter.detach().clone()
        optimizer.step()
    assert all(parameter.isfinite().all() for parameter in named.values())
    assert torch.equal(named["idle"], torch.full((4, 4), 0.5))
    assert all((named[key] != 0.5).any() for key in ("number", "vector", "kernel", "blocks"))
