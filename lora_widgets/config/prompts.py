"""Sample prompts: what a line with kohya's options says (``a cat --w 512 --n blurry``), and what is drawn."""

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from functools import lru_cache

from lora_widgets.catalog.families import FAMILIES
from lora_widgets.config.section import unquoted
from lora_widgets.config.training_config import TrainingConfig

MIN_SIDE, MAX_SIDE = 64, 8192
MAX_STEPS, MAX_SCALE = 1000, 1000
MAX_SEED = 2**64 - 1
_OPTION = re.compile(r"([a-z]+)\s+(.+?)\s*", re.IGNORECASE | re.DOTALL)
_LONG_DASH = re.compile(r"(?:^|\s)([\u2013\u2014](?:[whdslgn]|ss)\s+\S+)", re.IGNORECASE)
"""Two hyphens that an editor has made one dash of; they stay words of the prompt."""
_NUMBER = re.compile(r"\d+(\.\d*)?|\.\d+", re.ASCII)
_DIGITS = re.compile(r"\d{1,20}", re.ASCII)
_FILE = re.compile(r"[^\n]*\.(txt|toml|json)", re.IGNORECASE)
_WHOLE = {"w": "width", "h": "height", "s": "steps", "d": "seed"}
_REAL = {"l": "scale", "g": "guidance"}
_TEXT = {"n": "negative", "ss": "sampler"}
_SHOWN_LENGTH = 40


@dataclass(frozen=True)
class Prompt:
    """One picture to draw: sides in pixels, ``scale`` the guidance by the negative prompt.

    ``guidance`` is that which is embedded in the model, None where there is none. ``seed`` is None for the
    run's own, ``sampler`` for that of the settings.
    """

    text: str
    width: int
    height: int
    negative: str = ""
    steps: int = 30
    scale: float = 7.5
    guidance: float | None = None
    seed: int | None = None
    sampler: str | None = None

    @property
    def is_guided(self) -> bool:
        """Whether the negative prompt acts.

        Below 1 guidance would lead to it. As in diffusers and kohya's trainer, 0 turns it off like 1: that is
        what the pages of distilled models ask for.
        """
        return self.scale > 1


@dataclass(frozen=True)
class WrittenPrompt:
    """What is written about one picture: values of `Prompt` by their names, those left out having a default.

    ``place`` says where ("line 3"); ``ignored`` are its options that have no effect, as they are written.
    """

    place: str
    says: Mapping[str, str | int | float]
    ignored: tuple[str, ...] = ()


@dataclass(frozen=True)
class PromptFile:
    """What the file of ``sample_prompts`` holds, or in ``error`` why it cannot be read."""

    prompts: tuple[WrittenPrompt, ...] = ()
    error: str = ""


def written_prompts(setting: str | None, file: PromptFile | None) -> tuple[WrittenPrompt, ...]:
    """Return what a ``sample_prompts`` setting says: ``file`` is what its file holds, None without one."""
    if file is not None:
        return file.prompts
    return () if not setting or names_a_file(setting) else read_lines(setting)


def names_a_file(setting: str | None) -> bool:
    """Tell whether a ``sample_prompts`` setting is the path of a file rather than prompts."""
    return bool(setting) and _FILE.fullmatch(unquoted(setting)) is not None


@lru_cache(maxsize=16)  # a form reads the same text again and again
def read_lines(text: str) -> tuple[WrittenPrompt, ...]:
    """Read one prompt a line; empty lines and lines that begin with # are left out."""
    lines = ((number, line.strip()) for number, line in enumerate(text.splitlines(), start=1))
    return tuple(
        read_line(line, place=f"line {number}") for number, line in lines if line and not line.startswith("#")
    )


def read_line(line: str, *, place: str) -> WrittenPrompt:
    """Read a prompt and its options: --w --h --s --d --l --g --n --ss; of one that is repeated, the last.

    The first segment is the prompt even where it looks like an option: the reference also reads "w 512 tall"
    at its beginning as a width.
    """
    text, *segments = re.split(r"(?:^|\s)--", line)
    says: dict[str, str | int | float] = {"text": text.strip()}
    ignored: list[str] = []
    for segment in segments:
        match = _OPTION.fullmatch(segment)
        found = _value(match[1].lower(), match[2]) if match else {}
        says |= found
        if not found:
            ignored.append(_shortened(f"--{segment.rstrip()}"))
    ignored += [_shortened(option) for option in _LONG_DASH.findall(line)]
    return WrittenPrompt(place, says, tuple(ignored))


def prompts_of(written: Iterable[WrittenPrompt], config: TrainingConfig) -> tuple[Prompt, ...]:
    """Return what is drawn: what is left out is the family's default, the size that of the pictures.

    Sides are rounded down to what the family's latents can have.
    """
    row = FAMILIES[config.model_type].samples
    width, height = config.resolution_size
    blank = Prompt("", width, height, steps=row.steps, scale=row.scale, guidance=row.guidance)
    # pyright cannot know that the names in `says` are those of fields with these values
    stated = (replace(blank, **prompt.says) for prompt in written)  # pyright: ignore[reportArgumentType]
    return tuple(
        replace(
            prompt,
            width=fitted_side(prompt.width, row.side_multiple),
            height=fitted_side(prompt.height, row.side_multiple),
        )
        for prompt in stated
    )


def fitted_side(pixels: int, multiple: int) -> int:
    """Return the nearest side below that latents can have, at least 64."""
    return max(MIN_SIDE, pixels - pixels % multiple)


def _value(option: str, text: str) -> dict[str, str | int | float]:
    """Return the value of an option by its name in `Prompt`; nothing where it cannot be."""
    if option in _TEXT:
        return {_TEXT[option]: text}
    if option in _REAL and _NUMBER.fullmatch(text) and (number := float(text)) <= MAX_SCALE:
        return {_REAL[option]: number}
    if option not in _WHOLE or not _DIGITS.fullmatch(text) or (whole := int(text)) > MAX_SEED:
        return {}
    return {_WHOLE[option]: min(MAX_STEPS, max(1, whole)) if option == "s" else whole}


def _shortened(text: str) -> str:
    return text if len(text) <= _SHOWN_LENGTH else f"{text[:_SHOWN_LENGTH]}…"
