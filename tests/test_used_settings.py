"""Every setting is read by the engine, or carries the mark that says it does not act yet."""

import ast
from pathlib import Path

from lora_widgets.config import fields as fields_module
from lora_widgets.config.training_config import TrainingConfig

PACKAGE = Path(__file__).parent.parent / "lora_widgets"
ENGINE = ("adapters", "data", "families", "training", "sinks", "launch.py")
NOT_THE_ENGINE = ("rules", "importers", "findings.py", "files.py", "fields.py", "reference.py", "section.py")
"""Files of config that look at settings without acting on them."""
SPECS = {spec.name: spec for spec in fields_module.fields(TrainingConfig)}


def files_of(*parts: str) -> list[Path]:
    found = []
    for part in parts:
        path = PACKAGE / part
        found += [path] if path.is_file() else sorted(path.rglob("*.py"))
    return found


def section_names() -> set[str]:
    return {base.__name__ for base in TrainingConfig.__mro__}


class Reads(ast.NodeVisitor):
    """Collect what is read from a configuration: `config`, `settings`, or a parameter typed as a section.

    Calls of plain functions are collected too, as `name()`, because those of config read settings in turn.
    """

    def __init__(self, *more: str) -> None:
        self.names: set[str] = set()
        self._typed = set(more)

    def visit_arg(self, node: ast.arg) -> None:
        words = (
            {n.id for n in ast.walk(node.annotation) if isinstance(n, ast.Name)} if node.annotation else set()
        )
        if words & section_names():
            self._typed.add(node.arg)

    def visit_Attribute(self, node: ast.Attribute) -> None:
        base = node.value
        name = base.id if isinstance(base, ast.Name) else base.attr if isinstance(base, ast.Attribute) else ""
        if name.endswith(("config", "settings")) or name in self._typed:
            self.names.add(node.attr)
        self.generic_visit(node)

    def visit_Call(self, node: ast.Call) -> None:
        if isinstance(node.func, ast.Name):
            self.names.add(f"{node.func.id}()")
        self.generic_visit(node)


def reads_of(node: ast.AST, *receivers: str) -> Reads:
    reads = Reads(*receivers)
    reads.visit(node)
    return reads


def config_functions() -> dict[str, set[str]]:
    """Map each property `name` and function `name()` of config to what its body reads."""
    found: dict[str, set[str]] = {}
    for path in files_of("config"):
        if any(part in NOT_THE_ENGINE for part in path.relative_to(PACKAGE / "config").parts):
            continue
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.FunctionDef):
                for name in (node.name, f"{node.name}()"):
                    found.setdefault(name, set()).update(reads_of(node, "self").names)
    return found


def settings_read_by_the_engine() -> set[str]:
    """Settings the engine reads, directly or through functions and properties of config."""
    names: set[str] = set()
    for path in files_of(*ENGINE):
        names |= reads_of(ast.parse(path.read_text(encoding="utf-8"))).names
    functions = config_functions()
    waiting = [name for name in names if name in functions]
    while waiting:
        new = functions.pop(waiting.pop(), set()) - names
        names |= new
        waiting += [name for name in new if name in functions]
    return names & set(SPECS)


def num_active_choices(spec) -> int:
    """Choices that are not refused by a finding; a setting with exactly one of them has nothing to decide."""
    return sum(getattr(row, "active", True) for row in (spec.table or {}).values())


def test_every_setting_acts_or_is_marked():
    read = settings_read_by_the_engine()
    offered = {name for name, spec in SPECS.items() if not spec.not_yet and num_active_choices(spec) != 1}
    silent = sorted(offered - read)
    assert silent == [], (
        "these are offered, but no engine code reads them: make them act, or mark them NotYet()"
    )


def test_a_marked_setting_is_not_read():
    read = settings_read_by_the_engine()
    assert sorted(name for name in read if SPECS[name].not_yet) == [], "these act: remove their NotYet()"


def test_the_reader_tells_settings_from_other_attributes():
    head = "def f(config, row, buckets: Buckets):\n"
    code = head + "    return config.seed, row.factor, buckets.min_bucket_reso, config.seed.x"
    assert reads_of(ast.parse(code)).names == {"seed", "min_bucket_reso"}
