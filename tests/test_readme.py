"""The README tells the truth where a test can know it; run as a script, this refreshes its tables."""

import re
from importlib import import_module
from pathlib import Path

from lora_widgets.config.findings import check
from lora_widgets.config.reference import settings_table, types_table
from lora_widgets.config.training_config import TrainingConfig

ROOT = Path(__file__).parent.parent
README = (ROOT / "README.md").read_text(encoding="utf-8")
TABLES = {"settings": settings_table, "types": types_table}


def with_current_tables(readme: str) -> str:
    for name, table in TABLES.items():
        begin, end = f"<!-- {name}:begin -->", f"<!-- {name}:end -->"
        before, _, rest = readme.partition(begin)
        readme = f"{before}{begin}\n\n{table().strip()}\n\n{end}{rest.partition(end)[2]}"
    return readme


def test_tables_are_current():
    assert with_current_tables(README) == README, "refresh them with: python tests/test_readme.py"


def test_links_and_pictures_exist():
    targets = re.findall(r"\]\(([^)#:]+)\)", README)
    assert targets
    assert [target for target in targets if not (ROOT / target).exists()] == []


def test_every_folder_of_the_tree_exists_and_none_is_missing():
    tree = README.split("```\nlora_widgets/\n")[1].split("```")[0]
    named = set(re.findall(r"^  (\w+)/", tree, re.MULTILINE))
    package = ROOT / "lora_widgets"
    there = {path.name for path in package.iterdir() if (path / "__init__.py").is_file()}
    assert named == there


def test_the_configuration_of_the_example_has_no_errors():
    block = next(
        code for code in re.findall(r"```python\n(.*?)```", README, re.DOTALL) if "TrainingConfig(" in code
    )
    source = "TrainingConfig(" + block.split("TrainingConfig(")[1].split("\n)")[0] + "\n)"
    assert [
        finding.message for finding in check(eval(source, {"TrainingConfig": TrainingConfig})).errors
    ] == []


def test_every_name_of_the_examples_exists():
    for code in re.findall(r"```python\n(.*?)```", README, re.DOTALL):
        for module, names in re.findall(r"^from ([\w.]+) import (.+)$", code, re.MULTILINE):
            assert [n for n in names.split(", ") if not hasattr(import_module(module), n)] == []


def test_nothing_is_left_to_be_written():
    assert "TODO" not in README


if __name__ == "__main__":
    (ROOT / "README.md").write_text(with_current_tables(README), encoding="utf-8")
