"""Check a configuration: everything there is to say about it, before anything is loaded.

Checking is pure and takes well under a millisecond, so it runs anew on every change of a form. What the
schema refuses and what the rules advise become the same type, so that the user reads one list.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field

from pydantic import ValidationError

from lora_widgets.config.facts import DatasetFacts, Facts
from lora_widgets.config.fields import fields
from lora_widgets.config.invalid import invalid_findings
from lora_widgets.config.rules import (
    buckets,
    caching,
    captions,
    compiling,
    dataset,
    dataset_file,
    families,
    flow,
    layers,
    learning_rate,
    lora_types,
    memory,
    model_files,
    network,
    noise,
    optimizer,
    optimizer_rates,
    samples,
    saving,
)
from lora_widgets.config.rules.each_setting import findings_on_each_setting
from lora_widgets.config.rules.rule import RULES, Finding, Fix, Severity, Situation
from lora_widgets.config.steps import StepPlan, steps_of
from lora_widgets.config.training_config import TrainingConfig, canonical
from lora_widgets.errors import ConfigError

__all__ = [
    "DatasetFacts",
    "Draft",
    "Facts",
    "Finding",
    "Fix",
    "Severity",
    "check",
    "config_from",
    "validate_training_config",
]

# Importing a module of rules registers them; naming the modules here keeps the imports in use.
RULE_MODULES = (
    caching,
    memory,
    compiling,
    learning_rate,
    optimizer,
    optimizer_rates,
    network,
    model_files,
    layers,
    lora_types,
    noise,
    dataset,
    dataset_file,
    families,
    flow,
    buckets,
    captions,
    saving,
    samples,
)
_ORDER = {severity: place for place, severity in enumerate(Severity)}


@dataclass(frozen=True)
class Draft:
    """The result of a check; ``config`` is None while a value is invalid.

    ``steps`` is None while the configuration is invalid or the pictures are unknown. A training may start
    when there is a config and there are no ``errors``.
    """

    values: Mapping[str, object] = field(repr=False)
    config: TrainingConfig | None
    findings: tuple[Finding, ...]
    steps: StepPlan | None

    @property
    def errors(self) -> tuple[Finding, ...]:
        """The findings that block the start."""
        return tuple(finding for finding in self.findings if finding.severity is Severity.ERROR)


def check(values: Mapping[str, object] | TrainingConfig, facts: Facts | None = None) -> Draft:
    """Validate ``values`` and apply all rules; errors come first. Never raises, whatever the values are.

    While a value is invalid, the rules still speak about all the others.
    """
    facts = facts or Facts()
    if isinstance(values, TrainingConfig):
        steps = _steps(values, facts)
        return Draft(dict(values), values, _sorted(_rule_findings(values, facts, steps)), steps)
    try:
        config = TrainingConfig.model_validate(dict(values))
    except ValidationError as error:
        invalid = invalid_findings(error)
        return Draft(values, None, _sorted(invalid + _findings_on_the_rest(values, facts, invalid)), None)
    steps = _steps(config, facts)
    return Draft(values, config, _sorted(_rule_findings(config, facts, steps)), steps)


def config_from(values: Mapping[str, object]) -> TrainingConfig:
    """Make a configuration from ``values``; whether its settings go together is the business of ``check``.

    Raises:
        ConfigError: values are missing, unknown or out of range; the text says which, why, and what to do.
    """
    try:
        return TrainingConfig.model_validate(dict(values))
    except ValidationError as error:
        raise ConfigError("\n".join(str(finding) for finding in invalid_findings(error))) from None


def validate_training_config(config: TrainingConfig) -> list[str]:
    """Check for conflicts and return them as sentences, the most serious first."""
    return [finding.message for finding in check(config).findings if finding.severity is not Severity.NOTE]


def _sorted(findings: tuple[Finding, ...]) -> tuple[Finding, ...]:
    return tuple(sorted(findings, key=lambda finding: _ORDER[finding.severity]))


def _steps(config: TrainingConfig, facts: Facts) -> StepPlan | None:
    return steps_of(config, facts.dataset) if facts.dataset else None


def _rule_findings(config: TrainingConfig, facts: Facts, steps: StepPlan | None) -> tuple[Finding, ...]:
    now = Situation(config, facts, steps)
    found = tuple(finding for rule in RULES if (finding := rule.finding(now)))
    told = {name for finding in found if finding.severity is Severity.ERROR for name in finding.settings}
    return (*findings_on_each_setting(config, facts, told=told), *found)


def _findings_on_the_rest(
    values: Mapping[str, object], facts: Facts, invalid: tuple[Finding, ...]
) -> tuple[Finding, ...]:
    """Apply the rules that do not touch an invalid setting, with defaults in the place of those."""
    bad = {name for finding in invalid for name in finding.settings}
    given = canonical({name: value for name, value in values.items() if isinstance(name, str)})  # pyright: ignore[reportUnnecessaryIsInstance] - files and forms are not type-checked
    usable = {name: value for name, value in given.items() if name in TrainingConfig.model_fields}
    usable = {name: value for name, value in usable.items() if name not in bad}
    placeholders = {spec.name: "unset" for spec in fields(TrainingConfig) if spec.required}
    try:
        config = TrainingConfig.model_validate({**placeholders, **usable})
    except ValidationError:  # what a value error hides can differ; then the first list is all there is
        return ()
    return tuple(
        finding for finding in _rule_findings(config, facts, None) if not bad.intersection(finding.settings)
    )
