"""The ``lora-widgets`` command: what it understands, and how it ends.

Exit codes: 0 all is well, 1 ``check`` found errors, 2 something the user can change is wrong (one message, no
traceback), 130 interrupted with everything saved.
"""

import argparse
import os
import sys
from collections.abc import Sequence
from importlib import import_module
from pathlib import Path

from lora_widgets.commands.file import add_tools
from lora_widgets.errors import LoraWidgetsError

EXIT_USER_ERROR = 2
EXIT_INTERRUPTED = 130


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command and return its exit code; user errors become one message on standard error."""
    options = _parser().parse_args(argv)
    try:
        command = import_module(f"lora_widgets.commands.{options.command}")
        return command.run(options, sys.stdout)
    except LoraWidgetsError as error:
        print(f"lora-widgets {options.command}: {error}", file=sys.stderr)
        return EXIT_USER_ERROR
    except KeyboardInterrupt:
        print("interrupted", file=sys.stderr)
        return EXIT_INTERRUPTED
    except BrokenPipeError:
        # The reader (`| head`) has seen enough. Without this, Python complains once more while it exits.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="lora-widgets",
        description="Train LoRAs for diffusion models, in a notebook or here.",
        epilog="New here? Start with `lora-widgets demo`, then `lora-widgets lab`.",
    )
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")
    _add_demo(commands)
    _add_lab(commands)
    _add_train(commands)
    _add_check(commands)
    _add_settings(commands)
    _add_file(commands)
    _add_cache(commands)
    return parser


def _add_demo(commands: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    text = "train on the embedded model and pictures, on any machine, and show what was learned"
    demo = commands.add_parser("demo", help=text, description=_sentence(text))
    demo.add_argument(
        "--steps", type=_positive, metavar="N", help="number of steps (default: the demo's own)"
    )


def _add_lab(commands: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    text = "open JupyterLab on a copy of the training notebook"
    lab = commands.add_parser("lab", help=text, description=_sentence(text))
    lab.add_argument("--port", type=_positive, help="port of the server (default: JupyterLab chooses)")
    lab.add_argument(
        "--no-browser", action="store_true", help="print the address instead of opening a browser"
    )
    lab.add_argument("jupyter_options", nargs="*", metavar="-- OPTION", help="options for JupyterLab itself")


def _add_train(commands: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    text = "train from a configuration file"
    train = commands.add_parser("train", help=text, description=_sentence(text))
    _add_config_arguments(train)


def _add_check(commands: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    text = "say what is wrong with a configuration, and what a run of it takes, without training"
    check = commands.add_parser("check", help=text, description=_sentence(text))
    _add_config_arguments(check)
    check.add_argument(
        "--dataset",
        nargs="?",
        const="",
        metavar="REPORT.html",
        help="also write a page with all pictures, crops and captions as the model will see them "
        "(default: PROJECT-dataset.html in this folder; never overwrites a file)",
    )


def _add_settings(commands: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    text = "list all settings, or explain one"
    settings = commands.add_parser("settings", help=text, description=_sentence(text))
    settings.add_argument("name", nargs="?", metavar="NAME", help="the setting to explain")


def _add_file(commands: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    text = "look into LoRA files, convert, resize, merge and extract them"
    add_tools(commands.add_parser("file", help=text, description=_sentence(text)))


def _add_cache(commands: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    text = "show what is cached on disk, or delete what no run has used for long"
    cache = commands.add_parser("cache", help=text, description=_sentence(text))
    cache.add_argument(
        "folders",
        nargs="*",
        type=Path,
        metavar="FOLDER",
        help="folder of `cache_dir` (default: the usual one)",
    )
    cache.add_argument(
        "--delete-unused",
        dest="unused_days",
        type=_days,
        metavar="DAYS",
        help="delete what was not used for so many days, such as 30d; nothing that another program made",
    )
    cache.add_argument("--dry-run", action="store_true", help="only say what would be deleted")


def _add_config_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("config", type=Path, metavar="CONFIG", help="configuration file, .toml or .json")
    parser.add_argument(
        "--set",
        dest="changes",
        action="append",
        default=[],
        type=_assignment,
        metavar="NAME=VALUE",
        help="change one setting of the file; may be given many times",
    )


def _sentence(text: str) -> str:
    return text[0].upper() + text[1:] + "."


def _positive(text: str) -> int:
    number = int(text) if text.isascii() and text.isdigit() else 0
    if number < 1:
        raise argparse.ArgumentTypeError(f"{text!r} is not a whole number above 0")
    return number


def _days(text: str) -> int:
    try:
        return _positive(text.removesuffix("d"))
    except argparse.ArgumentTypeError as error:
        raise argparse.ArgumentTypeError(f"{text!r} is no number of days above 0, such as 30d") from error


def _assignment(text: str) -> tuple[str, str]:
    name, equals, value = text.partition("=")
    if not equals or not name.strip():
        raise argparse.ArgumentTypeError(f"{text!r} is not of the form name=value, for example unet_lr=1e-4")
    return name.strip(), value.strip()
