"""From a configuration file and the changes on the command line to the values of a configuration."""

from collections.abc import Sequence
from pathlib import Path

from lora_widgets.config.files import load_values, values_from_strings
from lora_widgets.config.training_config import canonical


def read_values(path: Path, changes: Sequence[tuple[str, str]]) -> dict[str, object]:
    """Read ``path`` and apply the ``(name, text)`` changes, of which the last of a name counts.

    The values are not validated yet.

    Raises:
        ConfigError: the file cannot be read, or a change names no setting.
    """
    # Both in the settings' own names, or `learning_rate` on the command line would lose against the file.
    return canonical(load_values(path)) | canonical(values_from_strings(dict(changes)))
