"""``lora-widgets lab``: open JupyterLab on a copy of the training notebook."""

import argparse
from importlib.util import find_spec
from itertools import count
from pathlib import Path
from typing import TextIO

from lora_widgets.errors import LoraWidgetsError

NOTEBOOK = "train_lora.ipynb"


def run(options: argparse.Namespace, out: TextIO) -> int:
    """Copy the notebook to the working directory and serve it until the user stops JupyterLab."""
    if find_spec("jupyterlab") is None:
        raise LoraWidgetsError(
            'JupyterLab is not installed. Install it with: pip install "lora-widgets[lab]"'
        )
    notebook = copy_to_free_name(packaged_notebooks() / NOTEBOOK, Path.cwd())
    print(f"Your copy of the notebook: {notebook}", file=out, flush=True)
    from jupyterlab.labapp import LabApp

    LabApp.launch_instance(lab_arguments(notebook, options))
    return 0


def lab_arguments(notebook: Path, options: argparse.Namespace) -> list[str]:
    """Translate our options to JupyterLab's; what came after ``--`` is passed on as it is."""
    port = [f"--ServerApp.port={options.port}"] if options.port else []
    browser = ["--no-browser"] if options.no_browser else []
    return [str(notebook), *port, *browser, *options.jupyter_options]


def packaged_notebooks() -> Path:
    """Find the notebooks: inside the package once installed, beside it in a checkout."""
    package = Path(__file__).resolve().parent.parent
    for folder in (package / "notebooks", package.parent / "notebooks"):
        if (folder / NOTEBOOK).is_file():
            return folder
    raise LoraWidgetsError(f"{NOTEBOOK} is missing from the installation. Install lora-widgets again.")


def copy_to_free_name(source: Path, folder: Path) -> Path:
    """Copy a file into ``folder`` as its name, or ``name-2``, ``name-3`` ... where that exists.

    Raises:
        LoraWidgetsError: nothing can be written there.
    """
    numbers = count(2)
    target = folder / source.name
    while True:
        try:
            with target.open("xb") as file:
                file.write(source.read_bytes())
        except FileExistsError:
            target = folder / f"{source.stem}-{next(numbers)}{source.suffix}"
        except OSError as error:
            reason = error.strerror or error
            raise LoraWidgetsError(
                f"{target} cannot be written ({reason}). Change to another folder."
            ) from error
        else:
            return target
