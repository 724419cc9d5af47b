"""Installing this package on Google Colab must not change what is there: pip resolves it beside that."""

import json
import os
import re
import subprocess
import sys
import tomllib
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
COLAB = ROOT / "tests" / "golden" / "colab-versions.txt"
PYTHON = os.environ.get("LORA_WIDGETS_COLAB_PYTHON", sys.executable)


def normal(name):
    return re.sub(r"[-_.]+", "-", name).lower()


def colab_versions():
    lines = COLAB.read_text(encoding="utf-8").splitlines()
    pairs = [line.split("==") for line in lines if line and not line.startswith("#")]
    return {normal(name): version for name, version in pairs}


def dependencies():
    return tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]["dependencies"]


def empty_wheel(folder, name, version):
    """Make a package that is nothing but its name and version."""
    information = f"{name}-{version}.dist-info"
    with zipfile.ZipFile(folder / f"{name}-{version}-py3-none-any.whl", "w") as wheel:
        wheel.writestr(
            f"{information}/METADATA", f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n"
        )
        wheel.writestr(
            f"{information}/WHEEL", "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n"
        )
        wheel.writestr(f"{information}/RECORD", "")


def resolve(folder, requirements):
    """Ask pip what it would install beside Colab's packages; none of them is installed."""
    # Colab's torch comes from an address of its own, with its CUDA packages; its name and version suffice.
    empty_wheel(folder, "torch", colab_versions()["torch"])
    report = folder / "report.json"
    options = ["--dry-run", "--ignore-installed", "--only-binary=:all:", "--quiet", f"--report={report}"]
    command = [PYTHON, "-m", "pip", "install", *options, f"--find-links={folder}", f"--constraint={COLAB}"]
    done = subprocess.run([*command, *requirements], capture_output=True, text=True, check=False)
    if done.returncode:
        return {}, done.stderr
    packages = [entry["metadata"] for entry in json.loads(report.read_text(encoding="utf-8"))["install"]]
    return {normal(package["name"]): package["version"] for package in packages}, ""


@pytest.mark.slow  # asks the package index
def test_our_dependencies_leave_every_version_of_colab_as_it_is(tmp_path):
    resolved, error = resolve(tmp_path, dependencies())
    assert error == ""
    colab = colab_versions()
    assert {name: version for name, version in resolved.items() if colab.get(name, version) != version} == {}
    assert resolved["ipywidgets"] == "7.7.1"
    assert not [name for name in resolved if name.startswith(("nvidia-", "cuda-"))]


@pytest.mark.slow
def test_a_dependency_that_would_change_one_is_found(tmp_path):
    resolved, error = resolve(tmp_path, ["ipywidgets>=8", "pillow>=10.3"])
    assert resolved == {}
    assert "conflict" in error.lower()


def test_no_dependency_excludes_what_colab_ships():
    """The quick half of the above, without an index: our own bounds admit Colab's versions."""
    from packaging.requirements import Requirement

    colab = colab_versions()
    ours = [Requirement(line) for line in dependencies()]
    known = [requirement for requirement in ours if normal(requirement.name) in colab]
    assert len(known) >= 10
    assert [str(r) for r in known if not r.specifier.contains(colab[normal(r.name)], prereleases=True)] == []
