"""Save the configuration to a file, and load one; nothing is ever lost on the way."""

import html
from collections.abc import Callable, Mapping
from pathlib import Path

import ipywidgets

from lora_widgets.config.fields import fields
from lora_widgets.config.files import load_config, save_config
from lora_widgets.config.findings import Draft
from lora_widgets.config.training_config import TrainingConfig
from lora_widgets.errors import ConfigError
from lora_widgets.widgets.settled_click import SettledClick
from lora_widgets.widgets.shared_look import SharedLook

EXAMPLE = "my-lora.toml"
_SECRETS = tuple(spec.name for spec in fields(TrainingConfig) if spec.secret)


class ConfigBar:
    """A path, buttons to save and load, and what came of it; ``box`` is its widget.

    An existing file is replaced at once only while it is as this panel left it or found it; otherwise the
    first click warns and the second replaces it. What was entered before a file was loaded can be had back.

    Args:
        draft: returns the newest check.
        load: puts values into the form; settings that are not given get their defaults.
        failed: shows an unexpected error.
        look: makes the widgets.
    """

    def __init__(
        self,
        draft: Callable[[], Draft],
        load: Callable[[Mapping[str, object]], None],
        *,
        failed: Callable[[Exception], None],
        look: SharedLook,
    ) -> None:
        self._draft, self._put = draft, load
        self._known: dict[Path, tuple[int, int]] = {}
        self._warned_of: Path | None = None
        self._before: Mapping[str, object] | None = None
        self.path, self._message = _path(look), look.make(ipywidgets.HTML, {}, css=("lw-config-message",))
        self.save = _button(look, "Save", icon="save", tooltip="Write the settings to this file, not secrets")
        self.load = _button(look, "Load", icon="folder-open", tooltip="Replace all settings by the file's")
        self.undo = _button(look, "Undo load", icon="undo", tooltip="Bring back what was entered before")
        self.undo.add_class("lw-hide")
        for button, action in ((self.save, self._save), (self.load, self._load), (self.undo, self._undo)):
            SettledClick(button, action, failed=failed)
        parts = (self.path, self.save, self.load, self.undo, self._message)
        self.box = look.make(ipywidgets.HBox, {"children": parts}, css=("lw-config-bar",))

    def _save(self) -> None:
        path, config = self._chosen(), self._draft().config
        if path is None:
            return
        if config is None:
            self._say("Not saved: correct the values marked as wrong first.", is_bad=True)
        elif self._may_write(path):
            self._write(config, path)

    def _may_write(self, path: Path) -> bool:
        """Return whether nothing unknown would be overwritten; warn the first time."""
        try:
            is_unknown = path.exists() and self._known.get(path.resolve()) != _version(path)
        except (OSError, ValueError):
            is_unknown = False  # writing says what is wrong with such a path
        if not is_unknown or self._warned_of == path:
            return True
        self._warned_of = path
        warning = f"{path} exists already. Click Save again to replace it, or choose another name."
        self._say(warning, is_bad=True)
        return False

    def _write(self, config: TrainingConfig, path: Path) -> None:
        self._warned_of = None
        try:
            save_config(config, path)
            self._remember(path)
        except (ConfigError, ValueError) as error:
            self._say(str(error), is_bad=True)
            return
        hidden = any(getattr(config, name) is not None for name in _SECRETS)
        self._say(f"Saved to {path}.{' Keys and other secrets are not in the file.' if hidden else ''}")

    def _load(self) -> None:
        path, self._warned_of = self._chosen(), None
        if path is None:
            return
        try:
            config = load_config(path)
            self._remember(path)
        except (ConfigError, ValueError) as error:
            self._say(str(error), is_bad=True)
            return
        self._before = before = dict(self._draft().values)
        secrets = {name: before.get(name) for name in _SECRETS if getattr(config, name) is None}
        self._put({**dict(config), **secrets})
        self.undo.remove_class("lw-hide")
        self._say(f"Loaded {path}.")

    def _undo(self) -> None:
        if self._before is None:
            return
        self._put(self._before)
        self._before = None
        self.undo.add_class("lw-hide")
        self._say("What was entered before the load is back.")

    def _chosen(self) -> Path | None:
        text = self.path.value.strip()
        if not text:
            self._say(f"Write the name of a file first, for example {EXAMPLE}.", is_bad=True)
            return None
        try:
            return Path(text).expanduser()
        except RuntimeError:  # no home folder
            return Path(text)

    def _remember(self, path: Path) -> None:
        self._known[path.resolve()] = _version(path)

    def _say(self, text: str, *, is_bad: bool = False) -> None:
        kind = "refused" if is_bad else "ready"
        text = text if len(text) < 2000 else text[:2000] + "…"
        self._message.value = f'<div class="lw-note lw-note-{kind}" role="status">{html.escape(text)}</div>'


def _version(path: Path) -> tuple[int, int]:
    """Return what changes when somebody else writes the file."""
    now = path.stat()
    return now.st_mtime_ns, now.st_size


def _path(look: SharedLook) -> ipywidgets.Text:
    traits = {"description": "Configuration file", "placeholder": EXAMPLE, "continuous_update": False}
    return look.make(ipywidgets.Text, traits, css=("lw-config-path",))


def _button(look: SharedLook, text: str, *, icon: str, tooltip: str) -> ipywidgets.Button:
    traits = {"description": text, "icon": icon, "tooltip": tooltip}
    return look.make(ipywidgets.Button, traits, css=("lw-button",))
