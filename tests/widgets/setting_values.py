"""Several values of every setting, made from its declaration, for tests over all settings."""

from pydantic import SecretStr

from lora_widgets.config.fields import FieldSpec, fields
from lora_widgets.config.findings import config_from
from lora_widgets.config.training_config import TrainingConfig

SPECS = fields(TrainingConfig)
REQUIRED = {
    "project_name": "zork",
    "pretrained_model_name_or_path": "demo",
    "train_data_dir": "demo",
    "output_dir": "out",
}
_TEXTS = ("a", "with blanks", "ünï✓", "שלום", "<b>&amp;'\"", "$x$ @@0@@ \\(y\\)", ",", "1e-4", "None")
_NARROW = {  # settings that accept only texts of a certain form
    "project_name": ("zork", "zork-2.1"),
    "output_name": ("", "zork_3"),
    "resolution": (64, 1024, "832,1216"),
    "lr_scheduler_args": (None, "", "gamma=0.9 d=0.5", '{"min_lr": 1e-6}', "a=1\nb=2"),
    "optimizer_args": (None, "betas=0.9,0.99", '{"eps": 1e-8}', {"eps": 1e-8, "betas": [0.9, 0.99]}),
}


def valid_values(spec: FieldSpec) -> list[object]:
    """Return values that the schema accepts, with its limits, its default and what people write."""
    if spec.name in _NARROW:
        candidates = list(_NARROW[spec.name])
    elif spec.choices:
        candidates = list(spec.choices)
    elif spec.secret:
        candidates = [SecretStr("s3cr3t"), SecretStr("<script>")]
    elif spec.type is bool:
        candidates = [True, False]
    elif spec.type in (int, float):
        candidates = _numbers(spec)
    else:
        candidates = list(_TEXTS)
    if not spec.required:
        candidates.append(spec.default)
    return [value for value in candidates if accepts(spec, value)]


def accepts(spec: FieldSpec, value: object) -> bool:
    """Return whether the schema accepts the value."""
    try:
        config_from({**REQUIRED, spec.name: value})
    except Exception:
        return False
    return True


def as_stored(spec: FieldSpec, value: object) -> object:
    """Return the value as a configuration holds it."""
    return getattr(config_from({**REQUIRED, spec.name: value}), spec.name)


def _numbers(spec: FieldSpec) -> list[object]:
    limits = [spec.bounds.minimum, spec.bounds.maximum]
    found = [spec.type(limit) for limit in limits if limit is not None] + [1, 2, 8, 64, 75]
    if spec.type is float:
        found += [0.1, 0.25, 1e-4, 1e-5, 5e-4, 1.2345678901234567e-07, 1 / 3]
    return found
