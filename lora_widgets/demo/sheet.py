"""Contact sheets: training pictures as a grid, samples before and after side by side."""

from collections.abc import Sequence
from pathlib import Path

from PIL import Image, ImageDraw, ImageFont

from lora_widgets.errors import DatasetError
from lora_widgets.events import SampleReady

_SIDE, _GAP, _TEXT = 192, 12, 20
_PAPER, _INK, _FAINT = (255, 255, 255), (32, 33, 36), (110, 113, 120)
_PICTURES = (".png", ".jpg", ".jpeg", ".webp", ".bmp")


def picture_grid(folder: Path | str, *, columns: int = 8) -> Image.Image:
    """Return all pictures below a folder as one, in order of their names.

    Raises:
        DatasetError: there are none.
    """
    paths = sorted(p for p in Path(folder).rglob("*") if p.suffix.lower() in _PICTURES)
    if not paths:
        raise DatasetError(f"There are no pictures in {folder}. Check the path.")
    side, rows = 96, -(-len(paths) // columns)
    sheet = Image.new("RGB", (columns * (side + 4) - 4, rows * (side + 4) - 4), _PAPER)
    for number, path in enumerate(paths):
        row, column = divmod(number, columns)
        with Image.open(path) as picture:
            sheet.paste(_fitted(picture, side), (column * (side + 4), row * (side + 4)))
    return sheet


def before_after(samples: Sequence[SampleReady]) -> Image.Image:
    """Return each prompt's first and last sample, one above the other, with the prompt below.

    Raises:
        ValueError: there are no samples.
    """
    if not samples:
        raise ValueError("there are no samples to show")
    steps = sorted({s.step for s in samples})
    rows = [
        ("before" if steps[0] == 0 else f"step {steps[0]}", steps[0]),
        (f"after {steps[-1]} steps", steps[-1]),
    ]
    prompts = sorted({s.index for s in samples})
    width = _GAP + len(prompts) * (_SIDE + _GAP)
    sheet = Image.new("RGB", (width, len(rows) * (_SIDE + _TEXT + _GAP) + 3 * _TEXT + _GAP), _PAPER)
    pen, font = ImageDraw.Draw(sheet), ImageFont.load_default(size=14)
    for row, (title, step) in enumerate(rows):
        top = _GAP + row * (_SIDE + _TEXT + _GAP)
        pen.text((_GAP, top - 2), title, fill=_INK, font=font)
        for sample in (s for s in samples if s.step == step):
            left = _GAP + prompts.index(sample.index) * (_SIDE + _GAP)
            with Image.open(sample.path) as picture:
                sheet.paste(_fitted(picture, _SIDE), (left, top + _TEXT))
    _captions(pen, samples, prompts, top=sheet.height - 3 * _TEXT)
    return sheet


def _captions(
    pen: ImageDraw.ImageDraw, samples: Sequence[SampleReady], prompts: list[int], *, top: int
) -> None:
    font = ImageFont.load_default(size=12)
    for column, index in enumerate(prompts):
        words = next(s.prompt for s in samples if s.index == index)
        text = "\n".join(_lines(pen, words, font)[:3])
        pen.multiline_text((_GAP + column * (_SIDE + _GAP), top), text, fill=_FAINT, font=font, spacing=3)


def _lines(
    pen: ImageDraw.ImageDraw, words: str, font: ImageFont.FreeTypeFont | ImageFont.ImageFont
) -> list[str]:
    """Break a text where it would be wider than a picture."""
    lines = [""]
    for word in words.split():
        longer = f"{lines[-1]} {word}".strip()
        if lines[-1] and pen.textlength(longer, font=font) > _SIDE:
            lines.append(word)
        else:
            lines[-1] = longer
    return lines


def _fitted(picture: Image.Image, side: int) -> Image.Image:
    """Return a picture fitted into a square: small ones enlarged with crisp pixels, large ones reduced."""
    small = max(picture.size) < side
    scale = side / max(picture.size)
    size = (max(1, round(picture.width * scale)), max(1, round(picture.height * scale)))
    resized = picture.convert("RGB").resize(
        size, Image.Resampling.NEAREST if small else Image.Resampling.LANCZOS
    )
    square = Image.new("RGB", (side, side), _PAPER)
    square.paste(resized, ((side - size[0]) // 2, (side - size[1]) // 2))
    return square
