"""Find and read the caption file beside a picture."""

from collections.abc import Iterable
from pathlib import Path

from lora_widgets.errors import DatasetError

FALL_BACK_EXTENSIONS = (".txt", ".caption")
MAX_CAPTION_BYTES = 1_000_000


class CaptionNames:
    """The names of the caption files of one folder.

    A picture's caption has the same name, with ``extension`` first, then .txt, then .caption; the letter case
    of the extension does not matter much.
    """

    def __init__(self, folder: Path, files: Iterable[str], extension: str) -> None:
        wanted = extension if extension.startswith(".") or not extension else f".{extension}"
        self._folder = folder
        self._endings = tuple(dict.fromkeys(ending for ending in (wanted, *FALL_BACK_EXTENSIONS) if ending))
        self._by_stem: dict[str, str] = {}
        for name in sorted(files, key=self._rank, reverse=True):  # the best come last and stay
            if ending := self._ending_of(name):
                self._by_stem[name[: -len(ending)]] = name

    def of(self, stem: str) -> str | None:
        """Return the name of the caption file of a picture, named without extension, or None."""
        if found := self._by_stem.get(stem):
            return found
        # The disk may know better: on some systems names differ in letter case and are the same.
        names = (stem + ending for ending in self._endings)
        return next((name for name in names if (self._folder / name).is_file()), None)

    def _ending_of(self, name: str) -> str | None:
        lowered = name.lower()
        return next((ending for ending in self._endings if lowered.endswith(ending.lower())), None)

    def _rank(self, name: str) -> tuple[int, bool, str]:
        ending = self._ending_of(name)
        place = self._endings.index(ending) if ending else len(self._endings)
        return place, not (ending and name.endswith(ending)), name


def read_caption(path: Path) -> tuple[str, ...]:
    """Return the lines of a caption file, stripped, without empty ones.

    Raises:
        DatasetError: it cannot be read as UTF-8; the text names it.
    """
    try:
        with path.open("rb", buffering=0) as file:
            content = file.read(MAX_CAPTION_BYTES + 1) or b""
    except OSError as error:
        raise DatasetError(f"its caption file {path.name} cannot be read ({error.strerror})") from error
    if len(content) > MAX_CAPTION_BYTES:
        raise DatasetError(
            f"its caption file {path.name} is larger than {MAX_CAPTION_BYTES} bytes, which cannot be a "
            "caption; replace or delete it"
        )
    try:
        # utf-8-sig: editors on Windows put a byte-order mark first, which must not become part of a tag.
        text = content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise DatasetError(_not_utf8(path, error.start)) from error
    if "\0" in text:
        raise DatasetError(_not_utf8(path, content.index(0)))
    stripped = (line.strip() for line in text.splitlines())
    return tuple(line for line in stripped if line)


def _not_utf8(path: Path, position: int) -> str:
    return (
        f"its caption file {path.name} is not UTF-8 text (byte {position}); save it again with the encoding "
        "UTF-8"
    )
