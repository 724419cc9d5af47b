"""The page of ``check --dataset``: where it goes, and what is said while it is made."""

from itertools import count
from pathlib import Path
from typing import TextIO

from lora_widgets.config.findings import Draft
from lora_widgets.errors import DatasetError, LoraWidgetsError
from lora_widgets.preview.dry_run import dry_run
from lora_widgets.preview.report import look_at_all, report_page

PROGRESS_EVERY = 250  # pictures


def write_dataset_report(draft: Draft, name: str, out: TextIO) -> None:
    """Write the dry run of the data set to ``name``, the project's name where that is empty, and say where.

    Raises:
        LoraWidgetsError: the page cannot be written there.
    """
    if draft.config is None:
        print("No page about the dataset: correct the errors above first.", file=out)
        return
    target = _page_path(name, draft.config.project_name)

    def progress(done: int) -> None:
        if done % PROGRESS_EVERY == 0:
            print(f"Looked at {done} of {len(run.cards)} pictures", file=out, flush=True)

    try:
        run = dry_run(draft.config)
    except DatasetError:  # a finding above says it
        print("No page about the dataset: no picture can be used.", file=out)
        return
    page = report_page(run, look_at_all(run, progress))
    print(f"What the model will see: {write_to_free_name(page, target)}", file=out)


def write_to_free_name(text: str, target: Path) -> Path:
    """Write ``text`` as ``target``, or as ``name-2``, ``name-3`` ... where that exists; return the path.

    Raises:
        LoraWidgetsError: nothing can be written there.
    """
    try:
        with _new_file(target) as file:
            path = Path(file.name)
            try:
                file.write(text)
                file.flush()
            except OSError:
                path.unlink()  # half a page is none
                raise
    except OSError as error:
        reason = error.strerror or error
        raise LoraWidgetsError(
            f"The page {target} cannot be written ({reason}). Give `--dataset` another file name."
        ) from error
    return path.resolve()


def _new_file(target: Path) -> TextIO:
    numbers, path = count(2), target
    while True:
        try:
            return path.open("x", encoding="utf-8")
        except FileExistsError:
            path = target.with_name(f"{target.stem}-{next(numbers)}{target.suffix}")


def _page_path(name: str, project_name: str) -> Path:
    """Return where the page goes; a folder gets the project's page."""
    default = f"{project_name}-dataset.html"
    if not name:
        return Path(default)
    path = Path(name).expanduser()
    if path.is_dir():
        return path / default
    return path if path.suffix.lower() in (".html", ".htm") else path.with_name(f"{path.name}.html")
