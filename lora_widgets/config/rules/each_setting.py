"""What can be said of every setting alike: not active yet, without effect in this mode, file not found."""

from collections.abc import Collection, Iterator

from lora_widgets.config.facts import Facts
from lora_widgets.config.fields import FieldSpec, fields, unmet
from lora_widgets.config.idle import idle_settings
from lora_widgets.config.rules.rule import Finding, Fix, Severity
from lora_widgets.config.training_config import TrainingConfig


def findings_on_each_setting(
    config: TrainingConfig, facts: Facts, *, told: Collection[str] = ()
) -> Iterator[Finding]:
    """Yield findings that follow from a setting's declaration.

    Of settings in ``told``, of which an error tells, it is not said again that they do nothing.
    """
    reasons = {name: idle.reason for name, idle in idle_settings(config) if not idle.rule}
    for spec in fields(TrainingConfig):
        value = getattr(config, spec.name)
        if value != spec.default and not spec.required and spec.name not in told:
            finding = _without_effect(spec, config) or _idle(spec, reasons.get(spec.name, ""))
            if finding is not None:
                yield finding
        if spec.name in facts.missing_paths:
            yield _missing_path(spec, value)


def _without_effect(spec: FieldSpec, config: TrainingConfig) -> Finding | None:
    """Say that a changed setting does nothing: in this version, or with another setting as it is."""
    if spec.not_yet:
        message = f"`{spec.name}` is not active yet; it has no effect in this version."
        return Finding(Severity.WARNING, (spec.name,), message, "Leave it at its default.", _set_back(spec))
    when, value = unmet(spec, config), getattr(config, spec.name)
    if when is None or value is None or value is False:  # what is empty or off asks for nothing
        return None
    needed = _words(when.values)
    return Finding(
        Severity.NOTE,
        (spec.name, when.setting),
        f"`{spec.name}` has no effect: it acts only when `{when.setting}` is {needed}.",
        f"Leave it, or set `{when.setting}` to {needed}.",
        _set_back(spec),
    )


def _idle(spec: FieldSpec, reason: str) -> Finding | None:
    """Say why a changed setting does nothing with the others as they are; None without a reason."""
    if not reason:
        return None
    because = reason.format_map({name: f"`{name}`" for name in TrainingConfig.model_fields})
    message = f"`{spec.name}` has no effect: {because}."
    return Finding(Severity.NOTE, (spec.name,), message, "", _set_back(spec))


def _set_back(spec: FieldSpec) -> Fix:
    return Fix(f"Set {spec.name} back", {spec.name: spec.default})


def _words(values: tuple[object, ...]) -> str:
    names = [("on" if value else "off") if isinstance(value, bool) else str(value) for value in values]
    return names[0] if len(names) == 1 else f"{', '.join(names[:-1])} or {names[-1]}"


def _missing_path(spec: FieldSpec, value: object) -> Finding:
    where = f"`{spec.name}` is {str(value)!r}, but nothing is there."
    return Finding(Severity.ERROR, (spec.name,), where, "Correct the path, or put the files there.")
