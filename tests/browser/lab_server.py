"""A JupyterLab server of its own for tests: own folders for settings and state, gone with the tests."""

import contextlib
import json
import os
import secrets
import signal
import subprocess
import sys
import time
import urllib.error
import urllib.request
from dataclasses import dataclass
from pathlib import Path

START_LIMIT_S = 180
IDLE_LIMIT_S = 300  # ends the server by itself, should the tests be killed


@dataclass(frozen=True)
class Server:
    url: str
    token: str
    root: Path

    def address(self, notebook):
        return f"{self.url}/doc/tree/{notebook}?token={self.token}&reset"


@contextlib.contextmanager
def lab_server(root, state, *, python_path):
    """Run JupyterLab on the folder ``root``; ``state`` is an empty folder for all it wants to remember."""
    token = secrets.token_hex(16)
    options = {
        "ServerApp.port": 0,
        "ServerApp.ip": "127.0.0.1",
        "ServerApp.root_dir": root,
        "ServerApp.shutdown_no_activity_timeout": IDLE_LIMIT_S,
        "IdentityProvider.token": token,
        "LabApp.expose_app_in_browser": True,
    }
    command = [sys.executable, "-m", "jupyterlab", "--no-browser", "--allow-root"]
    command += [f"--{name}={value}" for name, value in options.items()]
    log = state / "server.log"
    with log.open("w") as out:
        process = subprocess.Popen(
            command,
            env=_environment(state, python_path),
            cwd=root,
            stdout=out,
            stderr=out,
            start_new_session=True,
        )
    try:
        yield Server(_wait_for_url(process, state / "runtime", token, log), token, root)
    finally:
        _end(process)


def _environment(state, python_path):
    settings = state / "settings" / "@jupyterlab" / "apputils-extension"
    settings.mkdir(parents=True)
    news = {"fetchNews": "false", "checkForUpdates": False}
    (settings / "notification.jupyterlab-settings").write_text(json.dumps(news))
    folders = {
        "JUPYTER_CONFIG_DIR": "config",
        "JUPYTER_DATA_DIR": "data",
        "JUPYTER_RUNTIME_DIR": "runtime",
        "IPYTHONDIR": "ipython",
        "JUPYTERLAB_SETTINGS_DIR": "settings",
        "JUPYTERLAB_WORKSPACES_DIR": "workspaces",
    }
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    own = {name: str(state / folder) for name, folder in folders.items()}
    return {**os.environ, **own, "PATH": path, "PYTHONPATH": python_path, "OMP_NUM_THREADS": "2"}


def _wait_for_url(process, runtime, token, log):
    deadline = time.monotonic() + START_LIMIT_S
    while time.monotonic() < deadline and process.poll() is None:
        for file in runtime.glob("jpserver-*.json"):
            with contextlib.suppress(OSError, ValueError):
                url = json.loads(file.read_text())["url"].rstrip("/")
                urllib.request.urlopen(f"{url}/api/status?token={token}", timeout=5).close()
                return url
        time.sleep(0.1)
    raise RuntimeError(f"the Jupyter server did not start:\n{log.read_text()[-3000:]}")


def _end(process):
    with contextlib.suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGTERM)
    try:
        process.wait(15)
    except subprocess.TimeoutExpired:
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()
