"""Where caches live on disk, and what is said when that place cannot be written."""

import errno
import os
import sys
from pathlib import Path

from lora_widgets.errors import CacheError

APP = "lora-widgets"
_FULL = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG}


def cache_folder(setting: str | None) -> Path:
    """Return the folder of ``cache_dir``, or the one of this user where it is empty; makes nothing."""
    return Path(setting).expanduser() if setting and setting.strip() else user_cache_folder()


def user_cache_folder() -> Path:
    """Return the folder where programs of this system keep what can be made again."""
    if sys.platform == "win32":
        return Path(os.environ.get("LOCALAPPDATA") or Path.home() / "AppData" / "Local") / APP / "Cache"
    if sys.platform == "darwin" and not os.environ.get("XDG_CACHE_HOME"):
        return Path.home() / "Library" / "Caches" / APP
    given = os.environ.get("XDG_CACHE_HOME", "")
    # The XDG specification: relative paths are to be ignored.
    return (Path(given) if Path(given).is_absolute() else Path.home() / ".cache") / APP


def cannot_write(folder: Path, error: OSError) -> CacheError:
    """Return the error for a cache folder that is full or cannot be written; what is in it stays usable."""
    if error.errno in _FULL:
        return CacheError(
            f"The disk of the cache folder {folder} is full ({error.strerror}). What was cached so far stays "
            "usable. Free some room or set `cache_dir` to a folder on another disk, and start again; or turn "
            "`cache_latents_to_disk` and `cache_text_encoder_outputs_to_disk` off to cache in memory."
        )
    return CacheError(
        f"The cache folder {folder} cannot be written ({error.strerror or error}). Set `cache_dir` to a "
        "folder that you may write to; or turn `cache_latents_to_disk` and "
        "`cache_text_encoder_outputs_to_disk` off to cache in memory."
    )
