"""A Jupyter server of its own for tests: own folders for settings and state, gone with the tests."""

import contextlib
import json
import os
import secrets
import signal
import socket
import subprocess
import sys
import time
import urllib.request
from dataclasses import dataclass
from pathlib import Path

START_LIMIT_S = 180
IDLE_LIMIT_S = 300  # ends the server by itself, should the tests be killed


@dataclass(frozen=True)
class FrontEnd:
    """A page for notebooks: which module serves it, with which options, at which address."""

    name: str
    module: str
    options: dict
    address: str
    python: str = sys.executable


def _modern(name, module, app, address):
    options = {
        "ServerApp.port": "{port}",
        "ServerApp.ip": "127.0.0.1",
        "ServerApp.root_dir": "{root}",
        "ServerApp.shutdown_no_activity_timeout": IDLE_LIMIT_S,
        "IdentityProvider.token": "{token}",
        f"{app}.expose_app_in_browser": True,
    }
    return FrontEnd(name, module, options, address)


LAB = _modern("lab", "jupyterlab", "LabApp", "doc/tree/{notebook}?token={token}&reset")
NOTEBOOK_7 = _modern("notebook7", "notebook", "JupyterNotebookApp", "notebooks/{notebook}?token={token}")


def classic(python):
    """The notebook of the generation before, served by another Python, as Colab's kernel stack needs it."""
    options = {
        "NotebookApp.port": "{port}",
        "NotebookApp.ip": "127.0.0.1",
        "NotebookApp.notebook_dir": "{root}",
        "NotebookApp.shutdown_no_activity_timeout": IDLE_LIMIT_S,
        "NotebookApp.token": "{token}",
    }
    return FrontEnd("classic", "notebook", options, "notebooks/{notebook}?token={token}", python)


@dataclass(frozen=True)
class Server:
    front_end: FrontEnd
    url: str
    token: str
    root: Path

    def address(self, notebook):
        return f"{self.url}/{self.front_end.address.format(notebook=notebook, token=self.token)}"


@contextlib.contextmanager
def jupyter_server(front_end, root, state, *, python_path):
    """Serve the folder ``root``; ``state`` is an empty folder for all that Jupyter wants to remember."""
    given = {"token": secrets.token_hex(16), "root": root, "port": _free_port()}
    command = [front_end.python, "-m", front_end.module, "--no-browser", "--allow-root"]
    command += [f"--{name}={str(value).format(**given)}" for name, value in front_end.options.items()]
    log = state / "server.log"
    with log.open("w") as out:
        process = subprocess.Popen(
            command,
            env=_environment(front_end, state, python_path),
            cwd=root,
            stdout=out,
            stderr=out,
            start_new_session=True,
        )
    try:
        url = f"http://127.0.0.1:{given['port']}"
        _wait_until_up(process, f"{url}/api/status?token={given['token']}", log)
        yield Server(front_end, url, given["token"], root)
    finally:
        _end(process)


def _free_port():
    # Asked for port 0, the classic notebook never says which one it took.
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def _environment(front_end, state, python_path):
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
    # The kernel is started as "python": that of the server.
    path = f"{Path(front_end.python).parent}{os.pathsep}{os.environ['PATH']}"
    own = {name: str(state / folder) for name, folder in folders.items()}
    return {**os.environ, **own, "PATH": path, "PYTHONPATH": python_path, "OMP_NUM_THREADS": "2"}


def _wait_until_up(process, address, log):
    deadline = time.monotonic() + START_LIMIT_S
    while time.monotonic() < deadline and process.poll() is None:
        with contextlib.suppress(OSError):
            urllib.request.urlopen(address, timeout=5).close()
            return
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
