"""The panel of file tools with the tools behind its button; a file of its own: scripts load no widgets."""

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from lora_widgets.errors import ConfigError
from lora_widgets.widgets.file_panel import FilePanel

if TYPE_CHECKING:
    from lora_widgets.lora_files.combine import Resized
    from lora_widgets.lora_files.lowrank import Keep

Progress = Callable[[int, int], None]


class LoraFiles(FilePanel):
    """Look into LoRA files, convert, resize, merge and extract them. Show it as the last line of a cell."""

    def __init__(self) -> None:
        super().__init__(run=run_tool)


def run_tool(tool: str, given: Mapping[str, str], progress: Progress) -> str:
    """Run a tool on what was typed into the panel; return what it has to say.

    Raises:
        LoraWidgetsError: something typed cannot work.
    """
    return _TOOLS[tool](given, progress)


def _inspect(given: Mapping[str, str], _progress: Progress) -> str:
    from lora_widgets.lora_files import describe, tools

    return describe.words_for(tools.inspect_file(_path(given, "source")))


def _check(given: Mapping[str, str], _progress: Progress) -> str:
    from lora_widgets.lora_files import tools

    return "\n".join(tools.check_file(_path(given, "source"), base=_base(given))) or "Nothing to report."


def _convert(given: Mapping[str, str], _progress: Progress) -> str:
    from lora_widgets.lora_files import tools

    target = _path(given, "target")
    tools.convert_file(
        _path(given, "source"), target, dialect=given["dialect"], precision=given["precision"] or None
    )
    return f"Written: {target}"


def _resize(given: Mapping[str, str], progress: Progress) -> str:
    from lora_widgets.lora_files import tools

    target = _path(given, "target")
    result = tools.resize_file(
        _path(given, "source"),
        target,
        keep=_keep(given),
        base=_base(given),
        precision=given["precision"] or None,
        progress=progress,
    )
    return _resized(result, target)


def _merge(given: Mapping[str, str], progress: Progress) -> str:
    from lora_widgets.lora_files import tools

    target = _path(given, "target")
    tools.merge_files(
        _weighted(given["sources"]),
        target,
        keep=_keep(given) if given["rank"] or given["share"] else None,
        base=_base(given),
        precision=given["precision"] or None,
        progress=progress,
    )
    return f"Written: {target}"


def _merge_into(given: Mapping[str, str], progress: Progress) -> str:
    from lora_widgets.lora_files import tools

    target = _path(given, "target")
    tools.merge_into_model(
        _path(given, "base"),
        _weighted(given["sources"]),
        target,
        precision=given["precision"] or None,
        progress=progress,
    )
    return f"Written: {target}"


def _extract(given: Mapping[str, str], progress: Progress) -> str:
    from lora_widgets.lora_files import tools

    target = _path(given, "target")
    result = tools.extract_file(
        _path(given, "base"),
        _path(given, "tuned"),
        target,
        keep=_keep(given),
        precision=given["precision"] or None,
        progress=progress,
    )
    return _resized(result, target)


def _resized(result: "Resized", target: Path) -> str:
    from lora_widgets.lora_files.describe import words_for_resized

    return f"{words_for_resized(result)}\nWritten: {target}"


def _base(given: Mapping[str, str]) -> Path | None:
    return _path(given, "base") if given["base"] else None


def _path(given: Mapping[str, str], name: str) -> Path:
    if not given[name]:
        raise ConfigError(f"The field {name!r} is empty. Type a path into it.")
    return Path(given[name]).expanduser()


def _weighted(lines: str) -> list[tuple[Path, float]]:
    """Return the files of a text, one on each line, with the weight after the last colon."""
    found = []
    for line in filter(None, map(str.strip, lines.splitlines())):
        path, colon, weight = line.rpartition(":")
        try:
            found.append(
                (Path(path).expanduser(), float(weight)) if colon else (Path(line).expanduser(), 1.0)
            )
        except ValueError:  # the colon of a drive
            found.append((Path(line).expanduser(), 1.0))
    if not found:
        raise ConfigError(
            "No file is named. Type one on each line, with a weight after a colon: style.safetensors:0.7"
        )
    return found


def _keep(given: Mapping[str, str]) -> "Keep":
    from lora_widgets.lora_files.lowrank import Keep

    rank, share = _number(given, "rank"), _number(given, "share")
    return Keep(rank=None if rank is None else int(rank), norm_share=share)


def _number(given: Mapping[str, str], name: str) -> float | None:
    if not given[name]:
        return None
    try:
        return float(given[name])
    except ValueError as error:
        raise ConfigError(
            f"{given[name]!r} in the field {name!r} is no number. Type one, or nothing."
        ) from error


_TOOLS: dict[str, Callable[[Mapping[str, str], Progress], str]] = {
    "inspect": _inspect,
    "check": _check,
    "convert": _convert,
    "resize": _resize,
    "merge": _merge,
    "merge-into": _merge_into,
    "extract": _extract,
}
