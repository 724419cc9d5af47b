"""What the form shows of each setting: pure, from a checked draft, without widgets."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from pydantic import ValidationError

from lora_widgets.config.fields import FieldSpec, fields, fields_by_name, unmet
from lora_widgets.config.findings import Draft, Severity
from lora_widgets.config.tabs import Tab
from lora_widgets.config.training_config import TrainingConfig, canonical
from lora_widgets.widgets.without_effect import without_effect

NOT_YET = "not active yet"


@dataclass(frozen=True)
class FieldView:
    """How one setting is shown.

    ``reason`` says why it cannot be changed, ``error`` what is wrong with its value; both are empty where
    there is nothing to say.
    """

    visible: bool = True
    enabled: bool = True
    reason: str = ""
    error: str = ""


def field_views(draft: Draft) -> dict[str, FieldView]:
    """Say of every setting how it is shown; a setting that an error concerns is never hidden or disabled."""
    config = _nearest_config(draft)
    own = _own_errors(draft)
    concerned = {name for finding in draft.errors for name in finding.settings}
    idle = without_effect(config)
    return {
        spec.name: (
            FieldView(error=own.get(spec.name, ""))
            if spec.name in concerned
            else _view(spec, config, idle=idle.get(spec.name, ""))
        )
        for spec in fields(TrainingConfig)
    }


def tab_errors(draft: Draft) -> dict[Tab, int]:
    """Count the errors of each tab; one that concerns settings of two tabs counts in both."""
    specs = fields_by_name(TrainingConfig)
    counts = dict.fromkeys(Tab, 0)
    for finding in draft.errors:
        for tab in {specs[name].tab for name in finding.settings if name in specs}:
            counts[tab] += 1
    return counts


def _view(spec: FieldSpec, config: TrainingConfig, *, idle: str) -> FieldView:
    reason = NOT_YET if spec.not_yet else idle
    return FieldView(visible=unmet(spec, config) is None, enabled=not reason, reason=reason)


def _own_errors(draft: Draft) -> dict[str, str]:
    """Give the first error about a setting's own value; what concerns several settings is told elsewhere."""
    errors: dict[str, str] = {}
    for finding in draft.findings:
        if finding.severity is Severity.ERROR and len(finding.settings) == 1:
            errors.setdefault(finding.settings[0], str(finding))
    return errors


def _nearest_config(draft: Draft) -> TrainingConfig:
    """Return the draft's configuration, with defaults in the place of what is invalid or missing."""
    if draft.config is not None:
        return draft.config
    given = dict(_settings_of(draft.values))
    try:
        return _completed(given)
    except ValidationError as error:
        refused = {details["loc"][0] for details in error.errors(include_url=False, include_context=False)}
    return _completed({name: value for name, value in given.items() if name not in refused})


def _settings_of(values: Mapping[str, object]) -> Iterator[tuple[str, object]]:
    named = {name: value for name, value in values.items() if isinstance(name, str)}
    return ((name, value) for name, value in canonical(named).items() if name in TrainingConfig.model_fields)


def _completed(values: Mapping[str, object]) -> TrainingConfig:
    required = {spec.name: "unset" for spec in fields(TrainingConfig) if spec.required}
    return TrainingConfig.model_validate({**required, **values})
