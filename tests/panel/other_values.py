"""For every setting a valid value other than its default, made from what is declared about it."""

from pydantic import SecretStr, ValidationError

from lora_widgets.config.fields import fields
from lora_widgets.config.training_config import TrainingConfig
from lora_widgets.widgets.written import written

REQUIRED = {spec.name: "unset" for spec in fields(TrainingConfig) if spec.required}
TEXTS = ('<i>text</i> & "more", ü عربي', "other-name", ".other", "832,1216")
NUMBERS = (2, 3, 128, 150, 0.25, 2.5e-7)


def other_values():
    """Return such a value for each setting, by name."""
    return {spec.name: _other(spec) for spec in fields(TrainingConfig)}


def entered(value):
    """Return what a person enters for a value: a tick or a text."""
    return value if isinstance(value, bool) else written(value)


def _other(spec):
    for value in _candidates(spec):
        if _plain(value) != _plain(spec.default) and _is_valid(spec, value):
            return value
    raise AssertionError(f"no other value found for {spec.name}")


def _candidates(spec):
    if spec.choices:
        return spec.choices
    if spec.type is bool:
        return (not spec.default,)
    if spec.secret:
        return (SecretStr("s3cret"),)
    if spec.multiline:
        return ("first line\n\nthird line, ü", "gamma=0.9 d=0.5", "gamma=0.9, d=0.5")
    if spec.path:
        return ("/some where/ü.d",)
    texts = tuple(reversed(TEXTS)) if spec.name == "resolution" else TEXTS
    return {int: NUMBERS, float: tuple(reversed(NUMBERS))}.get(spec.type, texts)


def _is_valid(spec, value):
    try:
        config = TrainingConfig.model_validate({**REQUIRED, spec.name: value})
    except ValidationError:
        return False
    return _plain(getattr(config, spec.name)) == _plain(value)


def _plain(value):
    return value.get_secret_value() if isinstance(value, SecretStr) else value
