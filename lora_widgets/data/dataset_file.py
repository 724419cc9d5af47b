"""Dataset files: several folders with settings of their own, in the TOML schema of kohya-ss/sd-scripts.

A value is looked for in the ``[[datasets.subsets]]`` table, then in its ``[[datasets]]``, then in
``[general]``, then in the configuration. Folders are relative to the file, else to the current folder. The
number in a folder's name has no effect here.
"""

import tomllib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple, TypeVar, cast

from pydantic import ValidationError

from lora_widgets.config.findings import Finding, Severity, check
from lora_widgets.config.invalid import invalid_findings, shown
from lora_widgets.config.names import did_you_mean
from lora_widgets.config.training_config import TrainingConfig
from lora_widgets.data.dataset_keys import (
    CLASS_TOKENS,
    DATASET_KEYS,
    ONLY_IN_SUBSETS,
    REFUSED,
    SETTING_OF,
    SUBSET_KEYS,
)
from lora_widgets.data.image_file import Skipped
from lora_widgets.data.layout import Layout, Source, named, prefix_note, tree_notes
from lora_widgets.data.listing import Tree, list_alone, list_tree
from lora_widgets.data.part_settings import PartSettings
from lora_widgets.data.subset import Subset
from lora_widgets.errors import DatasetError

GENERAL, DATASETS, SUBSETS = "general", "datasets", "subsets"
FOLDER_KEYS = ("image_dir", "conditioning_data_dir")
EXAMPLE = '[[datasets]]\n[[datasets.subsets]]\nimage_dir = "pictures"'
ValueT = TypeVar("ValueT", str, bool)


class DatasetFile(NamedTuple):
    """The folders of a file, and the settings of each of its ``[[datasets]]``."""

    layout: Layout
    parts: tuple[PartSettings, ...]


@dataclass(frozen=True)
class _Level:
    """The settings in effect at a table, what else it hands down, and what is to be said about it."""

    config: TrainingConfig
    class_tokens: str
    notes: tuple[str, ...] = ()


@dataclass(frozen=True)
class _Table:
    """A table of the file; ``where`` names file and table in messages."""

    file: Path
    place: str
    values: Mapping[str, object]

    @property
    def where(self) -> str:
        return f"{self.file}, {self.place}"

    def wrong(self, sentence: str) -> DatasetError:
        return DatasetError(f"{self.where}: {sentence}")


def read_dataset_file(path: Path, config: TrainingConfig) -> DatasetFile:
    """Read a dataset file and look into its folders; ``config`` answers what the file does not say.

    Raises:
        DatasetError: the file cannot be read, a key or value cannot be, or a folder does not exist; the text
            names the file, the table, the key and the remedy.
    """
    top = _parsed(path)
    if unknown := [name for name in top.values if name not in (GENERAL, DATASETS)]:
        raise top.wrong(_unknown(unknown[0], (GENERAL, DATASETS)))
    general = _Table(path, f"[{GENERAL}]", _table(top, top.values.get(GENERAL, {}), f"[{GENERAL}]"))
    outer = _level(general, _Level(config, ""), keys=SETTING_OF)
    parts: list[PartSettings] = []
    sources: list[Source] = []
    skipped: list[Skipped] = []
    notes = list(outer.notes)
    for dataset in _tables(top, DATASETS, place="[[datasets]]"):
        level = _level(dataset, outer, keys=SETTING_OF, known=(SUBSETS,))
        notes += level.notes
        seen: list[Path] = []
        for table in _tables(dataset, SUBSETS, place=f"{dataset.place}, [[datasets.subsets]]"):
            inner = _level(table, level, keys=SUBSET_KEYS, known=ONLY_IN_SUBSETS)
            subset = _subset(table, inner, part=len(parts))
            notes += inner.notes
            if subset.folder.resolve() in seen:
                notes.append(f"{table.where} is not used: its folder {subset.folder} has been named before.")
                continue
            seen.append(subset.folder.resolve())
            source = _source(subset, skipped, notes)
            sources += [source] if source else []
        parts.append(level.config)
    return DatasetFile(Layout(tuple(sources), tuple(skipped), tuple(notes)), tuple(parts))


def _parsed(path: Path) -> _Table:
    try:
        # utf-8-sig: a byte-order mark from an editor on Windows is no part of the first table.
        values = tomllib.loads(path.read_text(encoding="utf-8-sig"))
    except OSError as error:
        raise DatasetError(
            f"`dataset_config` is {path}, which cannot be read ({error.strerror}). Correct the path."
        ) from error
    except UnicodeDecodeError as error:
        raise DatasetError(
            f"`dataset_config` is {path}, which is not a text file in UTF-8 (byte {error.start}). Save it "
            "again with that encoding."
        ) from error
    except (tomllib.TOMLDecodeError, RecursionError) as error:
        raise DatasetError(
            f"`dataset_config` is {path}, which is not valid TOML: {error}. Correct it there."
        ) from error
    return _Table(path, "at the top", values)


def _table(parent: _Table, value: object, place: str) -> dict[str, object]:
    if not isinstance(value, dict):
        raise parent.wrong(f"{place} must be a table of keys and values.")
    return cast("dict[str, object]", value)


def _tables(parent: _Table, name: str, *, place: str) -> list[_Table]:
    """Return the tables of an array, numbered from 1 as people count; there must be one."""
    found, written = parent.values.get(name), place.rpartition(", ")[2]
    if isinstance(found, dict):
        raise parent.wrong(f"the table must be written with two brackets, {written}.")
    if not isinstance(found, list) or not found:
        raise parent.wrong(f"there is no {written}. The least a file needs is:\n{EXAMPLE}")
    listed = cast("list[object]", found)
    places = [f"{place} {number}" for number in range(1, len(listed) + 1)]
    return [
        _Table(parent.file, at, _table(parent, value, at)) for at, value in zip(places, listed, strict=True)
    ]


def _level(table: _Table, outer: _Level, *, keys: Mapping[str, str], known: Iterable[str] = ()) -> _Level:
    """Validate a table and lay it over the settings from above; ``known`` are keys with another meaning."""
    changes: dict[str, object] = {}
    for key, value in table.values.items():
        if key in keys:
            changes[keys[key]] = _as_setting(table, key, value)
        elif key not in (CLASS_TOKENS, *known):
            _refuse(table, key, value, keys=(*keys, CLASS_TOKENS, *known))
    try:
        config = outer.config.with_changes(**changes)
    except ValidationError as error:
        raise table.wrong(
            " ".join(_in_words_of(table, str(found)) for found in invalid_findings(error))
        ) from None
    new = [finding for finding in check(config).findings if finding not in check(outer.config).findings]
    if errors := [finding for finding in new if finding.severity is Severity.ERROR]:
        raise table.wrong(" ".join(_in_words_of(table, str(finding)) for finding in errors))
    notes = tuple(f"{table.where}: {_in_words_of(table, str(finding))}" for finding in _warnings(new))
    tokens = _typed(table, CLASS_TOKENS, str, default=outer.class_tokens)
    return _Level(config, tokens.strip(), notes)


def _as_setting(table: _Table, key: str, value: object) -> object:
    """Turn a value of the file into one of the configuration, where they are written differently."""
    if key == "resolution" and isinstance(value, list):
        return ",".join(map(str, cast("list[object]", value)))
    if key in FOLDER_KEYS:
        return str(_folder(table, key))
    return value


def _refuse(table: _Table, key: str, value: object, *, keys: Iterable[str]) -> None:
    """Raise for a key that has no effect here; one that is off anyway may stay."""
    if key in DATASET_KEYS:
        raise table.wrong(f"`{key}` is the same for all subsets of a dataset. Move it to [[datasets]].")
    if key in ONLY_IN_SUBSETS:
        raise table.wrong(f"`{key}` belongs to one folder. Move it to a [[datasets.subsets]].")
    if key not in REFUSED:
        raise table.wrong(_unknown(key, keys))
    if value not in REFUSED[key].off:
        raise table.wrong(f"`{key}` is {shown(value)}, but {REFUSED[key].reason}. Remove it.")


def _unknown(key: str, keys: Iterable[str]) -> str:
    return f"`{key[:80]}` is no key of a dataset file.{did_you_mean(key, keys) or ' Remove it.'}"


def _in_words_of(table: _Table, text: str) -> str:
    """Call settings by the names that they have in the file."""
    for key, setting in SETTING_OF.items():
        if key in table.values:
            text = text.replace(f"`{setting}`", f"`{key}`")
    return text


def _warnings(findings: Iterable[Finding]) -> list[Finding]:
    return [finding for finding in findings if finding.severity is Severity.WARNING]


def _typed(table: _Table, key: str, kind: type[ValueT], *, default: ValueT) -> ValueT:
    value = table.values.get(key, default)
    if not isinstance(value, kind):
        wanted = {str: "text", bool: "true or false"}[kind]
        raise table.wrong(f"`{key}` is {shown(value)}, but must be {wanted}.")
    return value


def _folder(table: _Table, key: str) -> Path:
    """Find a folder: relative to the file, else to the current folder."""
    text = _typed(table, key, str, default="")
    if not text.strip():
        raise table.wrong(f"`{key}` is missing or empty. Set it to the folder with the pictures.")
    given = Path(text).expanduser()
    tried = [table.file.parent / given, given]
    for folder in tried:
        if folder.is_dir():
            return folder
    looked = named(dict.fromkeys(str(folder.absolute()) for folder in tried))
    raise table.wrong(f"`{key}` is {shown(text)}, but there is no such folder: {looked}. Correct the path.")


def _subset(table: _Table, level: _Level, *, part: int) -> Subset:
    return Subset(
        folder=_folder(table, "image_dir"),
        repeats=level.config.num_repeats,
        class_tokens=level.class_tokens,
        settings=level.config,
        part=part,
        is_reg=_typed(table, "is_reg", bool, default=False),
    )


def _source(subset: Subset, skipped: list[Skipped], notes: list[str]) -> Source | None:
    """Look into the folder of a subset; one that cannot be listed, or is empty, costs only itself."""
    try:
        tree: Tree = (
            list_tree(subset.folder, set()) if subset.settings.nested_folders else list_alone(subset.folder)
        )
    except DatasetError as error:
        skipped.append(Skipped(subset.folder, str(error)))
        return None
    notes += [*prefix_note(subset.folder, subset.repeats), *tree_notes(tree)]
    if not tree.num_pictures:
        notes.append(f"The folder {subset.folder} holds no pictures, so it is not used.")
    return Source(subset, tree)
