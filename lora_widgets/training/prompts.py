"""Sample prompts: lines of text with kohya's options (``a cat --w 512 --n blurry``)."""

import re
from dataclasses import dataclass, replace
from pathlib import Path

from lora_widgets.errors import ConfigError

MIN_SIDE, MAX_STEPS = 64, 1000
_OPTION = re.compile(r"([a-z]+)\s+(.+?)\s*", re.IGNORECASE | re.DOTALL)
_FILE = re.compile(r"[^\n]*\.(txt|toml|json)\s*", re.IGNORECASE)


@dataclass(frozen=True)
class Prompt:
    """One picture to draw: sides in pixels, ``scale`` the guidance, ``seed`` None for the run's own."""

    text: str
    width: int
    height: int
    negative: str = ""
    steps: int = 20
    scale: float = 7.5
    seed: int | None = None
    sampler: str | None = None


def read_prompts(setting: str | None, *, size: tuple[int, int]) -> tuple[Prompt, ...]:
    """Return the prompts of a ``sample_prompts`` setting: lines of text, or the path of a .txt file.

    Empty lines and lines that begin with # are left out. ``size`` is the default (width, height).

    Raises:
        ConfigError: the file is missing, is no .txt file or is not UTF-8.
    """
    if not setting or not setting.strip():
        return ()
    text = _read(Path(setting.strip())) if _FILE.fullmatch(setting.strip()) else setting
    lines = (line.strip() for line in text.splitlines())
    blank = Prompt("", _side(size[0]), _side(size[1]))
    return tuple(parse_line(line, blank) for line in lines if line and not line.startswith("#"))


def parse_line(line: str, default: Prompt) -> Prompt:
    """Parse one line; what it does not say is taken from ``default``, and unknown options are left out.

    The first segment is the prompt even where it looks like an option: the reference also reads "w 512 tall"
    at its beginning as a width.
    """
    text, *segments = re.split(r"(?:^|\s)--", line)
    prompt = replace(default, text=text.strip())
    for segment in segments:
        if match := _OPTION.fullmatch(segment):
            prompt = _with_option(prompt, match[1].lower(), match[2])
    return prompt


def _with_option(prompt: Prompt, name: str, value: str) -> Prompt:
    if name == "n":
        return replace(prompt, negative=value)
    if name == "ss":
        return replace(prompt, sampler=value)
    if name == "l" and re.fullmatch(r"\d+(\.\d*)?|\.\d+", value):
        return replace(prompt, scale=float(value))
    if value.isascii() and value.isdigit():
        return _with_number(prompt, name, int(value))
    return prompt


def _with_number(prompt: Prompt, name: str, number: int) -> Prompt:
    changes = {
        "w": {"width": _side(number)},
        "h": {"height": _side(number)},
        "s": {"steps": min(MAX_STEPS, max(1, number))},
        "d": {"seed": number},
    }
    return replace(prompt, **changes.get(name, {}))


def _side(pixels: int) -> int:
    """Return the nearest side below that latents can have: a multiple of 8."""
    return max(MIN_SIDE, pixels - pixels % 8)


def _read(path: Path) -> str:
    if path.suffix.lower() != ".txt":
        raise ConfigError(
            f"`sample_prompts` is {str(path)!r}; this version reads .txt files with one prompt a "
            f"line, or the "
            "prompts themselves. Write them into a .txt file."
        )
    try:
        return path.read_text(encoding="utf-8")
    except OSError as error:
        raise ConfigError(
            f"`sample_prompts` is {str(path)!r}, but that file cannot be read "
            f"({error.strerror or error}). Check "
            "the path, or write the prompts themselves, one a line."
        ) from error
    except UnicodeDecodeError as error:
        raise ConfigError(f"`sample_prompts`: {path} is not UTF-8 text. Save it as UTF-8.") from error
