"""One open notebook, whatever page shows it; what differs is in `lab_page` and `classic_page`."""

import ast
import json

OPEN_LIMIT_MS = 120_000
LIMIT_MS = 20_000
NOT_OURS = ("reading 'schema'",)  # Notebook 7 looking for its own settings while it loads


class NotebookPage:
    """Drives a notebook: cells are put and run by position, and the kernel is asked behind their backs."""

    def __init__(self, page, server, notebook):
        self.page, self.server, self.notebook = page, server, notebook
        self.errors = []
        page.set_default_timeout(LIMIT_MS)
        page.set_default_navigation_timeout(OPEN_LIMIT_MS)
        page.on("pageerror", lambda error: self.note_error(str(error)))

    def note_error(self, text):
        if not any(known in text for known in NOT_OURS):
            self.errors.append(text)

    def open(self):
        self.page.goto(self.server.address(self.notebook), wait_until="commit")
        self.wait_until_ready()
        return self

    def reload(self):
        self.page.reload(wait_until="commit")
        self.wait_until_ready()

    def wait_until_ready(self):
        """Wait until the notebook is shown and its kernel answers."""
        raise NotImplementedError

    def run(self, code, *, cell=0, wait=True):
        """Put ``code`` into a cell and run it."""
        raise NotImplementedError

    def start_all(self):
        """Run all cells without waiting for them."""
        raise NotImplementedError

    def wait_until_idle(self, limit_ms=60_000):
        """Wait until no cell is running or waiting to run."""
        raise NotImplementedError

    def outputs(self, cell=0):
        """Return a cell's outputs as they would be saved, whatever the page shows of them."""
        raise NotImplementedError

    def evaluate_in_kernel(self, code, expressions):
        """Run ``code`` without a trace in the notebook; return the reply's status and its expressions."""
        raise NotImplementedError

    def do(self, code):
        """Run statements in the kernel, without a cell."""
        reply = self.evaluate_in_kernel(code, {})
        assert reply["status"] == "ok", reply

    def ask(self, expression):
        """Return the value of an expression in the kernel, as plain data."""
        asked = f"__import__('json').dumps({expression}, default=str)"
        reply = self.evaluate_in_kernel("", {"value": asked})
        value = reply["user_expressions"]["value"]
        assert value["status"] == "ok", value
        return json.loads(ast.literal_eval(value["data"]["text/plain"]))

    def wait_for(self, expression, limit_s=20):
        """Wait until an expression in the kernel is true, and return its value."""
        for _ in range(int(limit_s / 0.1)):
            if value := self.ask(expression):
                return value
            self.page.wait_for_timeout(100)
        raise AssertionError(f"not true within {limit_s} s: {expression}")

    def press(self, name):
        self.page.locator("button.jupyter-button:visible", has_text=name).first.click()

    def saved(self):
        """Return the notebook as it is on disk."""
        return json.loads((self.server.root / self.notebook).read_text())

    def screenshot(self, path):
        """Take a picture of the window."""
        self.page.screenshot(path=path, full_page=True)
