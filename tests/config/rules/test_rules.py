import json
import pkgutil
from pathlib import Path

import pytest
from situations import BASE, PER_SETTING, config_of, facts_from, finding_of, said_of_fixes

import lora_widgets.config.rules
from lora_widgets.config.facts import Facts
from lora_widgets.config.fields import fields
from lora_widgets.config.findings import RULE_MODULES, check
from lora_widgets.config.rules.rule import RULES, Severity, change, rule
from lora_widgets.config.training_config import TrainingConfig

GOLDEN = json.loads((Path(__file__).parents[2] / "golden" / "findings.json").read_text(encoding="utf-8"))[
    "findings"
]
TRIGGER = ("rule", "changes", "facts")
FIXES = [
    pytest.param(case, fix, id=case["rule"])
    for case in GOLDEN
    if case["fix"]
    for fix in (case["fix"], *case.get("other_fixes", ()))
]


def by_rule(case):
    return case["rule"]


@pytest.mark.parametrize("case", GOLDEN, ids=by_rule)
def test_a_triggered_rule_says_what_was_reviewed(case):
    finding = finding_of(case["rule"], case["changes"], case["facts"])
    assert finding is not None
    said = {
        "severity": finding.severity.value,
        "settings": list(finding.settings),
        "message": finding.message,
        "remedy": finding.remedy,
        **said_of_fixes(finding),
    }
    assert said == {name: text for name, text in case.items() if name not in TRIGGER}
    known = facts_from(case["facts"])
    assert finding in check(config_of(case["changes"]), known).findings


@pytest.mark.parametrize(("case", "fix"), FIXES)
def test_a_fix_settles_its_finding_and_makes_no_new_error(case, fix):
    fixed = {**case["changes"], **fix["changes"]}
    assert finding_of(case["rule"], fixed, case["facts"]) is None
    known = facts_from(case["facts"])
    errors = {error.message for error in check(config_of(case["changes"]), known).errors}
    assert {error.message for error in check(config_of(fixed), known).errors} <= errors - {case["message"]}


@pytest.mark.parametrize("case", GOLDEN, ids=by_rule)
def test_no_rule_speaks_without_its_trigger(case):
    assert finding_of(case["rule"], {}, {}) is None


def test_every_rule_has_a_reviewed_message():
    reviewed = [case["rule"] for case in GOLDEN if not case["rule"].startswith(PER_SETTING)]
    assert sorted(reviewed) == sorted(rule.name for rule in RULES)


def test_the_base_configuration_has_no_finding_at_all():
    assert check(BASE).findings == ()


def test_every_module_of_rules_is_in_use():
    found = {module.name for module in pkgutil.iter_modules(lora_widgets.config.rules.__path__)}
    used = {module.__name__.rpartition(".")[2] for module in RULE_MODULES}
    assert found - used == {"rule", "each_setting"}


def test_a_rule_about_an_unknown_setting_is_our_mistake():
    with pytest.raises(NameError, match="no_such_setting"):
        rule(Severity.NOTE, "no_such_setting")


def test_every_error_says_what_to_do():
    assert all(case["remedy"] for case in GOLDEN if case["severity"] in ("error", "warning"))


def other_value(spec):
    if spec.type is bool:
        return not spec.default
    if spec.choices:
        return next(name for name in spec.choices if name != spec.default)
    return {int: 150, float: 0.5}.get(spec.type, "other")


@pytest.mark.parametrize(
    "spec", [spec for spec in fields(TrainingConfig) if spec.not_yet], ids=lambda s: s.name
)
def test_changing_what_is_not_active_yet_is_a_warning(spec):
    findings = check({**BASE, spec.name: other_value(spec)}).findings
    (finding,) = [finding for finding in findings if finding.settings[0] == spec.name]
    assert finding.severity is Severity.WARNING
    assert finding.message == f"`{spec.name}` is not active yet; it has no effect in this version."
    assert finding.fix is not None
    assert finding.fix.changes == {spec.name: spec.default}


@pytest.mark.parametrize(
    ("args", "word"),
    [(None, "needs step_rules"), ("step_rules=a", "cannot be read"), ("step_rules=1:5,0.1", None)],
)
def test_step_rules_are_read_before_the_start(args, word):
    errors = check({**BASE, "lr_scheduler": "piecewise_constant", "lr_scheduler_args": args}).errors
    assert [word in error.message for error in errors] == ([True] if word else [])


def test_a_resumed_run_may_have_the_name_of_the_run():
    taken = Facts(taken_names=frozenset({"cat"}))
    assert check(BASE, taken).errors
    assert not check({**BASE, "resume": "latest"}, taken).errors


def test_labels_of_fixes_say_what_they_do():
    fix = change(flip_aug=False, noise_offset=0.05, vae_path=None)
    assert fix.label == "Turn flip_aug off and set noise_offset to 0.05 and set vae_path to nothing"
