"""A cache folder of the tests' own, for the programs too that they start; importing it is enough.

What other libraries keep in the user's cache folder, and look for in the same way, stays where it is.
"""

import atexit
import os
import shutil
import sys
import tempfile
from pathlib import Path

CACHE = Path(tempfile.mkdtemp(prefix="lora-widgets-tests-"))
atexit.register(shutil.rmtree, CACHE, ignore_errors=True)
if sys.platform == "linux":
    users = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    os.environ.setdefault("MPLCONFIGDIR", str(users / "matplotlib"))
    os.environ.setdefault("PLAYWRIGHT_BROWSERS_PATH", str(users / "ms-playwright"))
os.environ["XDG_CACHE_HOME"] = str(CACHE)
MEASURED = CACHE / "lora-widgets" / "measured-runs.json"
