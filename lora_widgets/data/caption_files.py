"""Find and read the caption file beside a picture."""

from dataclasses import dataclass
from pathlib import Path

from lora_widgets.errors import DatasetError

FALL_BACK_EXTENSIONS = (".txt", ".caption")


@dataclass(frozen=True)
class CaptionFile:
    """A caption file and its lines, stripped, without empty ones."""

    path: Path
    lines: tuple[str, ...]


def read_caption_file(picture: Path, extension: str) -> CaptionFile | None:
    """Return the caption of a picture: same name, ``extension`` first, then .txt, then .caption; or None.

    Raises:
        DatasetError: the caption file exists and cannot be read as UTF-8; the text names it.
    """
    for candidate in _candidates(picture, extension):
        if candidate.is_file():
            return CaptionFile(candidate, _lines(candidate))
    return None


def _candidates(picture: Path, extension: str) -> list[Path]:
    """List the possible caption files in order; letter case of the extension does not matter much."""
    wanted = extension if extension.startswith(".") or not extension else f".{extension}"
    extensions = dict.fromkeys(ending for ending in (wanted, *FALL_BACK_EXTENSIONS) if ending)
    return [
        picture.with_name(picture.stem + spelling)
        for ending in extensions
        for spelling in dict.fromkeys((ending, ending.lower(), ending.upper()))
    ]


def _lines(path: Path) -> tuple[str, ...]:
    try:
        # utf-8-sig: editors on Windows put a byte-order mark first, which must not become part of a tag.
        text = path.read_text(encoding="utf-8-sig")
    except UnicodeDecodeError as error:
        raise DatasetError(
            f"its caption file {path.name} is not UTF-8 text (byte {error.start}); save it again with the "
            "encoding UTF-8"
        ) from error
    except OSError as error:
        raise DatasetError(f"its caption file {path.name} cannot be read ({error.strerror})") from error
    stripped = (line.strip() for line in text.splitlines())
    return tuple(line for line in stripped if line)
