"""``lora-widgets file TOOL ...``: look into LoRA files, convert, resize, merge and extract them."""

import argparse
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, TextIO

from lora_widgets.catalog.formats import DIALECTS, SAVE_PRECISIONS
from lora_widgets.catalog.lora_types import LORA_TYPES
from lora_widgets.events import PhaseProgress
from lora_widgets.terminal import Printer

if TYPE_CHECKING:
    from lora_widgets.lora_files.lowrank import Keep

Tool = Callable[[argparse.Namespace, TextIO], int]
_NEED_BASE = ", ".join(row.name for row in LORA_TYPES.values() if row.needs_base)


def run(options: argparse.Namespace, out: TextIO) -> int:
    """Run the chosen tool; return 0, or 1 if a check found problems."""
    return _TOOLS[options.tool](options, out)


def add_tools(parser: argparse.ArgumentParser) -> None:
    """Add the tools and their arguments to the parser of the command."""
    tools = parser.add_subparsers(dest="tool", required=True, metavar="TOOL")
    inspect = tools.add_parser("inspect", help="say what a file is, and what it says about itself")
    inspect.add_argument("source", type=Path, metavar="LORA")
    check = tools.add_parser("check", help="look for broken numbers, unknown tensors and wrong sizes")
    check.add_argument("source", type=Path, metavar="LORA")
    check.add_argument("--base", type=Path, metavar="MODEL", help="also whether it fits this base model")
    convert = tools.add_parser("convert", help="write a file with the names of another program")
    convert.add_argument("source", type=Path, metavar="LORA")
    convert.add_argument("target", type=Path, metavar="NEW")
    convert.add_argument("--to", dest="dialect", required=True, choices=list(DIALECTS))
    resize = tools.add_parser("resize", help="write a file of any type as LoRA with fewer ranks")
    resize.add_argument("source", type=Path, metavar="LORA")
    resize.add_argument("target", type=Path, metavar="NEW")
    merge = tools.add_parser("merge", help="write the weighted sum of several files of any type")
    merge.add_argument("target", type=Path, metavar="NEW")
    merge.add_argument("sources", type=_weighted, nargs="+", metavar="LORA[:WEIGHT]")
    into = tools.add_parser("merge-into", help="write a base model with files merged into it")
    into.add_argument("base", type=Path, metavar="MODEL")
    into.add_argument("target", type=Path, metavar="NEW")
    into.add_argument("sources", type=_weighted, nargs="+", metavar="LORA[:WEIGHT]")
    extract = tools.add_parser("extract", help="write the LoRA that turns one model into another")
    extract.add_argument("base", type=Path, metavar="MODEL")
    extract.add_argument("tuned", type=Path, metavar="OTHER_MODEL")
    extract.add_argument("target", type=Path, metavar="NEW")
    for tool in (resize, merge, extract):
        _add_keep(tool)
    for tool in (resize, merge):
        tool.add_argument(
            "--base", type=Path, metavar="MODEL", help=f"their base model; needed for {_NEED_BASE}"
        )
    for tool in (convert, resize, merge, into, extract):
        tool.add_argument(
            "--precision", choices=list(SAVE_PRECISIONS), help="number format (default: that of the source)"
        )


def _add_keep(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--rank", type=int, metavar="N", help="keep at most so many ranks")
    parser.add_argument(
        "--share", type=float, metavar="X", help="keep as many ranks as this share of the norm needs, 0 to 1"
    )
    parser.add_argument(
        "--ratio", type=float, metavar="X", help="keep what is at least 1/X as strong as the strongest"
    )


def _weighted(text: str) -> tuple[Path, float]:
    """Take a path and the weight after its last colon; a colon of a drive is none."""
    path, colon, weight = text.rpartition(":")
    try:
        return (Path(path), float(weight)) if colon and path else (Path(text), 1.0)
    except ValueError:
        return Path(text), 1.0


def _keep(options: argparse.Namespace) -> "Keep":
    from lora_widgets.lora_files.lowrank import Keep

    return Keep(rank=options.rank, norm_share=options.share, ratio=options.ratio)


def _inspect(options: argparse.Namespace, out: TextIO) -> int:
    from lora_widgets.lora_files.describe import words_for
    from lora_widgets.lora_files.tools import inspect_file

    print(words_for(inspect_file(options.source)), file=out)
    return 0


def _check(options: argparse.Namespace, out: TextIO) -> int:
    from lora_widgets.lora_files.tools import check_file

    problems = check_file(options.source, base=options.base)
    print("\n".join(problems) or "Nothing to report.", file=out)
    return 1 if problems else 0


def _convert(options: argparse.Namespace, out: TextIO) -> int:
    from lora_widgets.lora_files.tools import convert_file

    convert_file(options.source, options.target, dialect=options.dialect, precision=options.precision)
    return _written(options.target, out)


def _resize(options: argparse.Namespace, out: TextIO) -> int:
    from lora_widgets.lora_files.describe import words_for_resized
    from lora_widgets.lora_files.tools import resize_file

    result = resize_file(
        options.source,
        options.target,
        keep=_keep(options),
        base=options.base,
        precision=options.precision,
        progress=_progress(out, "Resizing"),
    )
    print(words_for_resized(result), file=out)
    return _written(options.target, out)


def _merge(options: argparse.Namespace, out: TextIO) -> int:
    from lora_widgets.lora_files.tools import merge_files

    says = (options.rank, options.share, options.ratio) != (None, None, None)
    merge_files(
        options.sources,
        options.target,
        keep=_keep(options) if says else None,
        base=options.base,
        precision=options.precision,
        progress=_progress(out, "Merging"),
    )
    return _written(options.target, out)


def _merge_into(options: argparse.Namespace, out: TextIO) -> int:
    from lora_widgets.lora_files.tools import merge_into_model

    merge_into_model(
        options.base,
        options.sources,
        options.target,
        precision=options.precision,
        progress=_progress(out, "Merging"),
    )
    return _written(options.target, out)


def _extract(options: argparse.Namespace, out: TextIO) -> int:
    from lora_widgets.lora_files.describe import words_for_resized
    from lora_widgets.lora_files.tools import extract_file

    result = extract_file(
        options.base,
        options.tuned,
        options.target,
        keep=_keep(options),
        precision=options.precision,
        progress=_progress(out, "Extracting"),
    )
    print(words_for_resized(result), file=out)
    return _written(options.target, out)


def _progress(out: TextIO, phase: str) -> Callable[[int, int], None]:
    """Return what shows how far a tool is."""
    printer = Printer(out)
    return lambda done, total: printer(PhaseProgress(phase, done, total))


def _written(target: Path, out: TextIO) -> int:
    print(f"written: {target}", file=out)
    return 0


_TOOLS: dict[str, Tool] = {
    "inspect": _inspect,
    "check": _check,
    "convert": _convert,
    "resize": _resize,
    "merge": _merge,
    "merge-into": _merge_into,
    "extract": _extract,
}
