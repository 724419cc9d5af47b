"""One notebook open in JupyterLab, driven through the application object that Lab exposes on request."""

import json

KERNEL_READY = """async () => {
  const app = window.jupyterapp;
  await app.restored;
  let widget = app.shell.currentWidget;
  for (let i = 0; i < 1200 && !(widget && widget.context && widget.sessionContext); i++) {
    await new Promise(resolve => setTimeout(resolve, 25));
    widget = app.shell.currentWidget;
  }
  await widget.context.ready;
  await widget.sessionContext.ready;
  if (widget.sessionContext.session) await widget.sessionContext.session.kernel.info;
}"""
ACTIVE = "window.jupyterapp.shell.currentWidget"


class LabPage:
    def __init__(self, page, server, notebook):
        self.page, self.server, self.notebook = page, server, notebook
        self.errors = []
        page.set_default_timeout(120_000)
        page.on("pageerror", lambda error: self.errors.append(str(error)))

    def open(self):
        self.page.goto(self.server.address(self.notebook), wait_until="commit")
        self.page.wait_for_function("() => !!window.jupyterapp")
        self.page.evaluate(KERNEL_READY)
        return self

    def start_all(self):
        """Run all cells without waiting for them."""
        self.page.evaluate("() => { window.jupyterapp.commands.execute('notebook:run-all-cells'); }")

    def wait_until_idle(self, limit_ms):
        """Wait until no cell is running or waiting to run."""
        self.page.wait_for_function(
            f"""() => {ACTIVE}.content.widgets.every(
                cell => cell.model.type !== 'code' || cell.model.executionState !== 'running')
                && {ACTIVE}.sessionContext.session.kernel.status === 'idle'""",
            timeout=limit_ms,
        )

    def interrupt(self):
        """Press the square button of the toolbar."""
        self.page.locator('[data-jp-item-name="interrupt"]').first.click()

    def press(self, name):
        self.page.locator("button.jupyter-button", has_text=name).first.click()

    def save(self):
        self.page.evaluate("async () => { await window.jupyterapp.commands.execute('docmanager:save'); }")

    def shut_down_kernel(self):
        self.page.evaluate(f"async () => {{ await {ACTIVE}.sessionContext.shutdown(); }}")

    def use_theme(self, name):
        self.page.evaluate(
            "async theme => { await window.jupyterapp.commands.execute('apputils:change-theme', {theme}); }",
            name,
        )

    def saved(self):
        """Return the notebook as it is on disk."""
        return json.loads((self.server.root / self.notebook).read_text())

    def screenshot(self, path):
        """Make the window tall enough for everything, and take its picture."""
        self.page.screenshot(path=path, full_page=True)
