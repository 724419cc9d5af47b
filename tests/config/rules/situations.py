"""A configuration without any finding, and how a trigger in tests/golden/findings.json is applied to it."""

from lora_widgets.config.activations import activations_of
from lora_widgets.config.facts import BaseModelFacts, DatasetFacts, Facts, LayerFacts, LongCaption, PartSize
from lora_widgets.config.findings import check
from lora_widgets.config.prompts import PromptFile
from lora_widgets.config.rules.each_setting import findings_on_each_setting
from lora_widgets.config.rules.rule import RULES, Situation
from lora_widgets.config.training_config import TrainingConfig

BASE = {
    "project_name": "cat",
    "model_type": "SD1.5",
    "pretrained_model_name_or_path": "owner/name",
    "train_data_dir": "pictures",
    "output_dir": "out",
    "resolution": 512,
    "clip_skip": 1,
}
SD15_SIZE = BaseModelFacts(
    denoiser=PartSize(numbers=859_520_964, linear=282_000_000, largest=13_107_200),
    text_encoder=PartSize(numbers=123_060_480, linear=84_934_656, largest=2_359_296),
    vae=PartSize(numbers=83_653_863),
    activations=activations_of({"block_out_channels": (320, 640, 1280, 1280)}),
    layers=(
        LayerFacts("unet", "all.of.them", (195_360, 195_360), frozenset({"Transformer2DModel"}), True),
        LayerFacts("text_encoder", "all.of.them", (82_944, 82_944), frozenset({"CLIPMLP"}), True),
    ),
)
SIZES = {
    "SD1.5": SD15_SIZE,
    "denoiser alone": BaseModelFacts(SD15_SIZE.denoiser, PartSize(), PartSize(), SD15_SIZE.activations),
}
"""What findings.json calls the facts of base models."""
PER_SETTING = "each_setting: "


def config_of(changes):
    return TrainingConfig(**{**BASE, **changes})


def facts_from(data):
    data = dict(data)
    if "dataset" in data:
        values = {
            name: tuple(value) if isinstance(value, list) else value
            for name, value in data["dataset"].items()
        }
        long = (
            LongCaption(**{**row, "beyond": tuple(row["beyond"])}) for row in values.get("long_captions", ())
        )
        data["dataset"] = DatasetFacts(**{**values, "long_captions": tuple(long)})
    if "base_model" in data:
        data["base_model"] = SIZES[data["base_model"]]
    if "prompt_file" in data:
        data["prompt_file"] = PromptFile(**data["prompt_file"])
    for name in ("missing_paths", "missing_packages"):
        data[name] = tuple(data.get(name, ()))
    return Facts(**{**data, "taken_names": frozenset(data.get("taken_names", ()))})


def finding_of(rule_name, changes, facts):
    """Return the finding of the named rule, or None when it does not apply."""
    config, known = config_of(changes), facts_from(facts)
    if rule_name.startswith(PER_SETTING):
        return next(iter(findings_on_each_setting(config, known)), None)
    rule = next(rule for rule in RULES if rule.name == rule_name)
    return rule.finding(Situation(config, known, check(config, known).steps))


def said_of_fixes(finding):
    """What a case of findings.json holds of the buttons; most findings have one at most."""
    fix, *others = [{"label": fix.label, "changes": fix.changes} for fix in finding.fixes] or [None]
    return {"fix": fix, "other_fixes": others} if others else {"fix": fix}
