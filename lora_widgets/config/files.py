"""Configuration files: TOML or JSON, complete, with a version number and without secrets.

A file holds every setting, so that a run can be repeated after a default has changed. Empty text stands for
"not set", which TOML cannot say otherwise.
"""

import json
import os
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any, cast

import tomlkit
from tomlkit.exceptions import ParseError, TOMLKitError

from lora_widgets.config.fields import FieldSpec, fields, fields_by_name
from lora_widgets.config.findings import config_from
from lora_widgets.config.training_config import ALIASES, TrainingConfig, unknown_name
from lora_widgets.errors import ConfigError

VERSION = 1
_FLAGS = {
    "true": True,
    "yes": True,
    "on": True,
    "1": True,
    "false": False,
    "no": False,
    "off": False,
    "0": False,
}


def load_config(path: str | Path) -> TrainingConfig:
    """Read a configuration from a .toml or .json file.

    Raises:
        ConfigError: the file cannot be read, is damaged, or holds an unknown name or a value that cannot be;
            the text names the file, the place where that is known, and the remedy.
    """
    values = load_values(path)
    try:
        return config_from(values)
    except ConfigError as error:
        raise ConfigError(f"{path}:\n{error}") from None


def load_values(path: str | Path) -> dict[str, object]:
    """Read the settings of a file without validating them; raises ``ConfigError`` as ``load_config`` does."""
    path = Path(path)
    parse = _toml if _suffix(path) == ".toml" else _json
    try:
        values = parse(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise ConfigError(
            f"The configuration file {path} cannot be read: {error.strerror or error}. Correct the path."
        ) from None
    except UnicodeDecodeError:
        raise ConfigError(f"{path} is not a text file in UTF-8. Choose a .toml or .json file.") from None
    except (ValueError, RecursionError) as error:
        raise ConfigError(
            f"{path} is damaged or incomplete: {error}. Correct it there, or save the configuration anew."
        ) from None
    return _without_version(values, path)


def save_config(config: TrainingConfig, path: str | Path) -> None:
    """Write the configuration to a .toml or .json file, completely or not at all; secrets are left out.

    Raises:
        ConfigError: the file cannot be written.
    """
    path = Path(path)
    text = _as_toml(config) if _suffix(path) == ".toml" else _as_json(config)
    try:
        write_whole(path, text)
    except OSError as error:
        raise ConfigError(
            f"The configuration file {path} cannot be written: {error.strerror or error}. Choose another "
            "folder."
        ) from None


def values_from_strings(texts: Mapping[str, str]) -> dict[str, object]:
    """Turn the texts of a command line into values of the settings' types.

    What cannot be read as its type stays text, so that validation can say what is wrong with it.

    Raises:
        ConfigError: a name is no setting.
    """
    specs = fields_by_name(TrainingConfig)
    values: dict[str, object] = {}
    for name, text in texts.items():
        spec = specs.get(ALIASES.get(name, (name,))[0])
        if spec is None:
            raise ConfigError(f"{unknown_name(name)} The command `lora-widgets settings` lists them all.")
        values[name] = _value(spec, text.strip() if spec.type is not str else text)
    return values


def _suffix(path: Path) -> str:
    suffix = path.suffix.lower()
    if suffix not in (".toml", ".json"):
        raise ConfigError(f"{path} is no configuration file: its name must end with .toml or .json.")
    return suffix


def _toml(text: str) -> dict[str, object]:
    try:
        return cast("dict[str, object]", tomlkit.parse(text).unwrap())
    except ParseError as error:
        raise ValueError(str(error).removesuffix(".")) from None
    except TOMLKitError as error:
        raise ValueError(f"not valid TOML: {error}") from None


def _json(text: str) -> dict[str, object]:
    values = json.loads(text, object_pairs_hook=_without_doubles)
    if not isinstance(values, dict):
        raise ValueError("it holds no table of settings and values")  # noqa: TRY004 - reported like other damage
    return cast("dict[str, object]", values)


def _without_doubles(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    values = dict(pairs)
    if len(values) < len(pairs):
        names = [name for name, _ in pairs]
        raise ValueError(f"{next(name for name in names if names.count(name) > 1)!r} is given twice")
    return values


def _without_version(values: dict[str, object], path: Path) -> dict[str, object]:
    version = values.pop("version", VERSION)
    if isinstance(version, bool) or not isinstance(version, int) or version < 1:
        raise ConfigError(
            f"{path} has the version {version!r}, but it must be {VERSION}. Correct or remove it."
        )
    if version > VERSION:
        raise ConfigError(
            f"{path} has version {version}, but this program knows only {VERSION}. "
            "Update it: pip install -U lora-widgets."
        )
    return values


def _stored(config: TrainingConfig) -> list[tuple[FieldSpec, Any]]:
    """List what goes into a file; an empty text stands for None."""
    pairs = [(spec, getattr(config, spec.name)) for spec in fields(TrainingConfig) if not spec.secret]
    return [(spec, "" if value is None else value) for spec, value in pairs]


def _as_json(config: TrainingConfig) -> str:
    values = {spec.name: value for spec, value in _stored(config)}
    return json.dumps({"version": VERSION, **values}, indent=2, ensure_ascii=False, allow_nan=False) + "\n"


def _as_toml(config: TrainingConfig) -> str:
    document = tomlkit.document()
    document.add("version", tomlkit.item(VERSION))
    heading = ""
    for spec, value in _stored(config):
        if heading != (heading := f"{spec.tab.value}: {spec.group}"):
            document.add(tomlkit.nl())
            document.add(tomlkit.comment(heading))
        document.add(spec.name, tomlkit.item(value))
    return tomlkit.dumps(document)  # pyright: ignore[reportUnknownMemberType] - tomlkit annotates a bare Mapping


def write_whole(path: Path, text: str) -> None:
    """Write to a temporary file beside ``path`` and rename it, so that no reader sees half a file.

    Raises:
        OSError: it cannot be written; what was there before is still there.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    handle, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.", suffix=".tmp")
    temporary = Path(name)
    try:
        with os.fdopen(handle, "w", encoding="utf-8", newline="\n") as file:
            file.write(text)
            file.flush()
            os.fsync(file.fileno())
        # A temporary file is private; a configuration is as readable as any file of the user.
        temporary.chmod(0o666 & ~_umask())
        temporary.replace(path)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise


def _umask() -> int:
    mask = os.umask(0)
    os.umask(mask)
    return mask


def _value(spec: FieldSpec, text: str) -> object:
    if spec.optional and text.strip().lower() in ("", "none"):
        return None
    if spec.type is bool:
        return _FLAGS.get(text.lower(), text)
    convert = {int: int, float: float}.get(spec.type, str)
    try:
        return convert(text)
    except ValueError:
        return text
