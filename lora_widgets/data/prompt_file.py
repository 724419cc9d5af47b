"""Files of sample prompts: .txt with one a line, .toml and .json with a table of kohya's keys for each."""

import json
import tomllib
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, cast

from lora_widgets.config.invalid import shown
from lora_widgets.config.names import did_you_mean
from lora_widgets.config.prompts import (
    MAX_SCALE,
    MAX_SEED,
    MAX_STEPS,
    PromptFile,
    WrittenPrompt,
    names_a_file,
    read_line,
    read_lines,
)
from lora_widgets.config.section import unquoted
from lora_widgets.errors import ConfigError

EXAMPLE = '[prompt]\nwidth = 512\n[[prompt.subset]]\nprompt = "a cat"'
_TEXTS = {"prompt": "text", "negative_prompt": "negative", "sample_sampler": "sampler"}
_NUMBERS = {"scale": "scale", "guidance_scale": "guidance"}
_WHOLE: Mapping[str, tuple[str, range]] = {
    "width": ("width", range(1, 2**31)),
    "height": ("height", range(1, 2**31)),
    "sample_steps": ("steps", range(1, MAX_STEPS + 1)),
    "seed": ("seed", range(MAX_SEED + 1)),
}
_WITHOUT_EFFECT = ("controlnet_image", "cfg_trunc_ratio", "renorm_cfg", "flow_shift", "enum")
_KEYS = (*_TEXTS, *_NUMBERS, *_WHOLE)


def look_up_prompts(setting: str | None) -> PromptFile | None:
    """Return what the file of ``sample_prompts`` holds, or why it cannot be read; None without one."""
    try:
        path = _file_of(setting)
        return None if path is None else PromptFile(prompts=read_prompt_file(path))
    except ConfigError as error:
        return PromptFile(error=str(error))


def read_prompt_file(path: Path) -> tuple[WrittenPrompt, ...]:
    """Read the prompts of a .txt, .toml or .json file.

    Raises:
        ConfigError: the file cannot be read, or a key or value in it cannot be; the text names file, place,
            key and remedy.
    """
    readers: dict[str, Callable[[Path, str], tuple[WrittenPrompt, ...]]] = {
        ".txt": lambda _, text: read_lines(text),
        ".toml": _read_toml,
        ".json": _read_json,
    }
    if path.suffix.lower() not in readers:
        raise ConfigError(
            f"`sample_prompts` is {str(path)!r}, but prompts are read from .txt, .toml and .json files. "
            "Write one prompt a line into a .txt file, or the prompts themselves into the setting."
        )
    return readers[path.suffix.lower()](path, _text_of(path))


def _file_of(setting: str | None) -> Path | None:
    """Return the file that a setting names: by its ending, or because it is there."""
    text = (setting or "").strip()
    if not text or "\n" in text:
        return None
    text = unquoted(text) if names_a_file(text) else text
    try:
        path = Path(text).expanduser()
        return path if names_a_file(text) or path.is_file() else None
    except (OSError, ValueError, RuntimeError) as error:  # too long, no possible name, no home folder
        if not names_a_file(text):
            return None
        raise _unreadable(text, str(error)) from error


def _text_of(path: Path) -> str:
    try:
        # utf-8-sig: a byte-order mark from an editor on Windows is no part of the first prompt.
        return path.read_text(encoding="utf-8-sig")
    except UnicodeDecodeError as error:
        raise ConfigError(
            f"`sample_prompts`: {path} is not UTF-8 text (byte {error.start}). Save it as UTF-8."
        ) from error
    except (OSError, ValueError) as error:
        raise _unreadable(str(path), getattr(error, "strerror", None) or str(error)) from error


def _unreadable(path: str, reason: str) -> ConfigError:
    return ConfigError(
        f"`sample_prompts` is {path!r}, but that file cannot be read ({reason}). Check the path, or "
        "write the prompts themselves, one a line."
    )


def _read_toml(path: Path, text: str) -> tuple[WrittenPrompt, ...]:
    """Read ``[[prompt.subset]]`` tables, each laid over the defaults in ``[prompt]``."""
    try:
        values = tomllib.loads(text)
    except (ValueError, RecursionError) as error:  # a number of thousands of digits is a plain ValueError
        raise ConfigError(
            f"`sample_prompts` is {path}, which is not valid TOML: {error}. Correct it there."
        ) from error
    for name in values:
        if name != "prompt":
            raise _wrong(path, "at the top", f"`{name[:80]}` is no table of a prompt file. Use [prompt].")
    defaults = values.get("prompt")
    subsets = defaults.get("subset") if isinstance(defaults, dict) else None
    if not isinstance(defaults, dict) or not isinstance(subsets, list) or not subsets:
        raise _wrong(path, "at the top", f"there is no [[prompt.subset]]. The least it needs is:\n{EXAMPLE}")
    common = {key: value for key, value in cast("dict[str, object]", defaults).items() if key != "subset"}
    _says(path, "[prompt]", common)
    return tuple(
        _from_table(path, f"[[prompt.subset]] {number}", table, common)
        for number, table in enumerate(cast("list[object]", subsets), start=1)
    )


def _read_json(path: Path, text: str) -> tuple[WrittenPrompt, ...]:
    """Read a list of tables, or of lines as in a .txt file."""
    try:
        values: Any = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise ConfigError(
            f"`sample_prompts` is {path}, which is not valid JSON: {error}. Correct it there."
        ) from error
    if not isinstance(values, list):
        raise _wrong(path, "at the top", 'there must be a list, such as [{"prompt": "a cat", "width": 512}].')
    return tuple(
        read_line(entry.strip(), place=f"entry {number}")
        if isinstance(entry, str)
        else _from_table(path, f"entry {number}", entry, {})
        for number, entry in enumerate(cast("list[object]", values), start=1)
    )


def _from_table(path: Path, place: str, table: object, common: Mapping[str, object]) -> WrittenPrompt:
    if not isinstance(table, dict):
        raise _wrong(path, place, f"{shown(table)} is no table of keys and values.")
    values = {**common, **cast("dict[str, object]", table)}
    says = _says(path, place, values)
    if "text" not in says:
        raise _wrong(path, place, '`prompt` is missing. Write what to draw, such as prompt = "a cat".')
    # The reference takes options in a table's text for words; here, too, but not in silence.
    options = read_line(str(says["text"]), place=place)
    in_text = options.ignored or len(options.says) > 1
    without_effect = tuple(key for key in _WITHOUT_EFFECT if values.get(key) is not None and key != "enum")
    return WrittenPrompt(place, says, (*without_effect, *(("options within `prompt`",) if in_text else ())))


def _says(path: Path, place: str, values: Mapping[str, object]) -> dict[str, str | int | float]:
    """Return the values of a table by their names in `Prompt`; null is the same as left out."""
    says: dict[str, str | int | float] = {}
    for key, value in values.items():
        if key in _WITHOUT_EFFECT or value is None:
            continue
        if key in _TEXTS:
            says[_TEXTS[key]] = _text(path, place, key, value)
        elif key in _NUMBERS:
            says[_NUMBERS[key]] = _number(path, place, key, value)
        elif key in _WHOLE:
            says[_WHOLE[key][0]] = _whole(path, place, key, value)
        else:
            hint = did_you_mean(key, _KEYS) or f" There are: {', '.join(_KEYS)}."
            raise _wrong(path, place, f"`{key[:80]}` is no key of a prompt.{hint}")
    return says


def _text(path: Path, place: str, key: str, value: object) -> str:
    if isinstance(value, str):
        return value.strip() if key == "sample_sampler" else value
    raise _wrong(path, place, f"`{key}` is {shown(value)}, but must be text in quotes.")


def _number(path: Path, place: str, key: str, value: object) -> float:
    if isinstance(value, int | float) and not isinstance(value, bool) and 0 <= value <= MAX_SCALE:
        return float(value)
    raise _wrong(path, place, f"`{key}` is {shown(value)}, but must be a number from 0 to {MAX_SCALE}.")


def _whole(path: Path, place: str, key: str, value: object) -> int:
    limits = _WHOLE[key][1]
    if isinstance(value, int) and not isinstance(value, bool) and value in limits:
        return value
    bounds = f"from {limits[0]} to {limits[-1]}"
    raise _wrong(path, place, f"`{key}` is {shown(value)}, but must be a whole number {bounds}.")


def _wrong(path: Path, place: str, sentence: str) -> ConfigError:
    return ConfigError(f"`sample_prompts`: {path}, {place}: {sentence}")
