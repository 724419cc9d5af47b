"""The structure of the package, checked on its syntax trees: imports, sizes, forbidden things."""

import ast
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
PACKAGE = ROOT / "lora_widgets"
FILES = sorted(PACKAGE.rglob("*.py"))
PARTS = ("lora_widgets", "notebooks", "kernels", "tests")

EVERYONE = {"errors", "events", "waiting"}
MAY_IMPORT = {  # demo.paths: where the folders are that the value "demo" stands for
    "catalog": set(),
    "config": {"catalog"},
    "data": {"catalog", "config", "demo.paths"},
    "diffusion": set(),
    "families": {"catalog", "config", "demo.paths", "diffusion"},
    "adapters": {"catalog", "config", "families"},
    # lora_files: adapter files by themselves, for the tools on files and for what training saves
    "lora_files": {"adapters", "catalog", "config", "families"},
    "training": {"adapters", "catalog", "config", "data", "diffusion", "families", "lora_files"},
    "sinks": set(),
    "preview": {"catalog", "config", "data"},
    # preview: the pure part of the dry run, which is also written as a page
    "widgets": {
        *("catalog", "config", "preview"),
        *("data.base_model", "data.facts", "data.measured_runs", "data.prompt_file", "data.scan"),
    },
    "events": set(),
    "errors": set(),
}
FOREIGN = {  # what only these places may import; one door for each library with side effects
    "torch": {"adapters", "data", "demo", "diffusion", "families", "launch", "lora_files", "training"},
    "diffusers": {"adapters", "demo", "families", "training"},
    "transformers": {"demo", "families", "training"},
    "tokenizers": {"data.tokens", "demo"},
    "ipywidgets": {"widgets"},
    "accelerate": {"families.part_classes", "training.processes"},
    "lycoris": {"adapters.lycoris_modules"},
}
LIGHT = [
    "lora_widgets",
    "lora_widgets.cli",
    "lora_widgets.terminal",
    "lora_widgets.errors",
    "lora_widgets.events",
    "lora_widgets.data.scan",
    "lora_widgets.data.buckets",
    "lora_widgets.data.captions",
    "lora_widgets.data.facts",
    "lora_widgets.data.measured_runs",
    "lora_widgets.data.prompt_file",
    "lora_widgets.data.showing",
]
HEAVY = {"torch", "diffusers", "transformers", "accelerate", "bitsandbytes", "lycoris"}
MAY_PRINT = ("cli", "terminal", "commands", "demo.pretrain", "demo.evaluate")
LONG_FUNCTIONS = {"training.loop": 80}  # the loop reads best in one piece
DATA_LIMIT_BYTES = 300_000


def module_of(path: Path) -> str:
    """Dotted name below the package: `lora_widgets/data/scan.py` is `data.scan`."""
    return ".".join(path.relative_to(PACKAGE).with_suffix("").parts).removesuffix(".__init__")


def is_within(module: str, *parts: str) -> bool:
    return any(module == part or module.startswith(part + ".") for part in parts)


def tree_of(path: Path) -> ast.Module:
    return ast.parse(path.read_text(encoding="utf-8"), str(path))


def imported_names(path: Path) -> set[str]:
    """Absolute dotted names a file imports anywhere, `from a import b` as both a and a.b."""
    names = set()
    for node in ast.walk(tree_of(path)):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}: relative import on line {node.lineno}; write it in full"
            assert node.module is not None
            names |= {node.module} | {f"{node.module}.{alias.name}" for alias in node.names}
    return names


def functions_of(path: Path):
    return [n for n in ast.walk(tree_of(path)) if isinstance(n, ast.FunctionDef | ast.AsyncFunctionDef)]


def each_file(paths: list[Path]):
    return pytest.mark.parametrize("path", paths, ids=lambda path: str(path.relative_to(ROOT)))


@each_file(FILES)
def test_imports_follow_the_table(path):
    module = module_of(path)
    layer = module.split(".")[0]
    if layer not in MAY_IMPORT:
        return
    for name in imported_names(path):
        if not is_within(name, "lora_widgets"):
            continue
        target = name.removeprefix("lora_widgets").removeprefix(".")
        # `from lora_widgets.data import scan` names the bare package too; its __init__ holds no code
        is_bare_package = not target or (PACKAGE / target.replace(".", "/")).is_dir()
        allowed = MAY_IMPORT[layer] | EVERYONE | {layer}
        assert is_bare_package or is_within(target, *allowed), f"{module} must not import {name}"


@each_file(FILES)
def test_each_foreign_library_has_its_place(path):
    module = module_of(path)
    for name in imported_names(path):
        places = FOREIGN.get(name.split(".")[0])
        assert places is None or is_within(module, *places), f"{module} must not import {name}"


@each_file(
    [path for path in FILES if path.name == "__init__.py" and path.parent not in (PACKAGE, PACKAGE / "demo")]
)
def test_package_init_holds_a_docstring_only(path):
    body = tree_of(path).body
    assert len(body) == 1
    assert ast.get_docstring(tree_of(path))


def run_python(code: str) -> str:
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


def light_modules(*packages: str) -> list[str]:
    found = [module_of(p) for p in FILES if is_within(module_of(p), *packages)]
    return [f"lora_widgets.{module}" for module in found]


def test_config_panel_and_command_line_never_import_torch():
    modules = LIGHT + light_modules("catalog", "config", "preview", "sinks", "widgets")
    code = f"""
import importlib, sys
for module in {modules!r}:
    importlib.import_module(module)
    heavy = {HEAVY!r} & set(sys.modules)
    if heavy:
        sys.exit(f"importing {{module}} brings {{heavy}}")
"""
    run_python(code)


def test_config_never_imports_ipywidgets():
    modules = ["lora_widgets", *light_modules("catalog", "config")]
    imports = "\n".join(f"import {module}" for module in modules)
    assert run_python(f"{imports}\nimport sys; print('ipywidgets' in sys.modules)") == "False"


@each_file(FILES + sorted((ROOT / "tests").rglob("*.py")))
def test_files_are_short(path):
    assert len(path.read_text(encoding="utf-8").splitlines()) <= 400


@each_file(FILES)
def test_functions_are_short_and_take_few_parameters(path):
    limit = LONG_FUNCTIONS.get(module_of(path), 60)
    for function in functions_of(path):
        where = f"{function.name} on line {function.lineno}"
        assert function.end_lineno is not None
        assert function.end_lineno - function.lineno < limit, f"{where} is longer than {limit} lines"
        arguments = function.args
        names = [a.arg for a in (*arguments.posonlyargs, *arguments.args, *arguments.kwonlyargs)]
        assert len([name for name in names if name not in ("self", "cls")]) <= 6, (
            f"{where}: too many parameters"
        )


@each_file(FILES)
def test_no_print_no_bare_except_no_unvalidated_copy(path):
    for node in ast.walk(tree_of(path)):
        if isinstance(node, ast.ExceptHandler):
            assert node.type is not None, f"bare except on line {node.lineno}"
        if not isinstance(node, ast.Call):
            continue
        if isinstance(node.func, ast.Name) and node.func.id == "print":
            assert is_within(module_of(path), *MAY_PRINT), (
                f"print on line {node.lineno}; yield an event instead"
            )
        if isinstance(node.func, ast.Attribute):
            assert node.func.attr != "model_copy", (
                f"line {node.lineno}: with_changes() validates, model_copy does not"
            )


def project_files() -> list[Path]:
    found = [path for part in PARTS for path in (ROOT / part).rglob("*") if path.is_file()]
    return [
        path for path in found if "__pycache__" not in path.parts and ".ipynb_checkpoints" not in path.parts
    ]


def test_every_file_is_named_for_what_it_holds():
    vague = {"utils.py", "helpers.py", "common.py", "misc.py"}
    assert [path for path in project_files() if path.name in vague] == []


def test_kernels_cannot_be_imported():
    # Hugging Face has a package of that name, and transformers asks whether it is there.
    assert not (ROOT / "kernels" / "__init__.py").exists()
    assert list((ROOT / "kernels").rglob("*.py")) == []


def test_no_big_data_files_but_the_demo_model():
    model = PACKAGE / "demo" / "model"
    big = [p for p in project_files() if p.stat().st_size > DATA_LIMIT_BYTES and model not in p.parents]
    assert big == []
    assert sum(p.stat().st_size for p in model.rglob("*") if p.is_file()) <= 25_000_000
