"""JupyterLab 4 and Notebook 7, driven through the application object that both expose on request."""

from notebook_page import OPEN_LIMIT_MS, NotebookPage

ACTIVE = "window.jupyterapp.shell.currentWidget"
READY = """async () => {
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
# ipykernel 7 now and then sleeps through a message until the next one comes; so another one comes.
NUDGED = """async (kernel, done) => {
  const nudge = setInterval(() => kernel.requestKernelInfo(), 4000);
  try { return await done; } finally { clearInterval(nudge); }
}"""
RUN = f"""async ([cell, code, wait]) => {{
  const notebook = {ACTIVE}.content;
  notebook.widgets[cell].model.sharedModel.setSource(code);
  notebook.activeCellIndex = cell;
  notebook.deselectAll();
  const done = window.jupyterapp.commands.execute('notebook:run-cell');
  if (wait) await ({NUDGED})({ACTIVE}.sessionContext.session.kernel, done);
}}"""
ASK = f"""async ([code, user_expressions]) => {{
  const kernel = {ACTIVE}.sessionContext.session.kernel;
  const content = {{code, user_expressions, silent: true, store_history: false}};
  return (await ({NUDGED})(kernel, kernel.requestExecute(content).done)).content;
}}"""


class LabPage(NotebookPage):
    def wait_until_ready(self):
        self.page.wait_for_function("() => !!window.jupyterapp", timeout=OPEN_LIMIT_MS)
        self.page.evaluate(READY)

    def run(self, code, *, cell=0, wait=True):
        self.page.evaluate(RUN, [cell, code, wait])

    def start_all(self):
        self.page.evaluate("() => { window.jupyterapp.commands.execute('notebook:run-all-cells'); }")

    def wait_until_idle(self, limit_ms=60_000):
        self.page.wait_for_function(
            f"""() => {ACTIVE}.content.widgets.every(
                cell => cell.model.type !== 'code' || cell.model.executionState !== 'running')
                && {ACTIVE}.sessionContext.session.kernel.status === 'idle'""",
            timeout=limit_ms,
        )

    def outputs(self, cell=0):
        return self.page.evaluate(f"cell => {ACTIVE}.content.widgets[cell].model.outputs.toJSON()", cell)

    def evaluate_in_kernel(self, code, expressions):
        return self.page.evaluate(ASK, [code, expressions])

    def interrupt(self):
        """Press the square button of the toolbar."""
        self.page.locator('[data-jp-item-name="interrupt"]').first.click()

    def save(self):
        self.page.evaluate("async () => { await window.jupyterapp.commands.execute('docmanager:save'); }")

    def shut_down_kernel(self):
        self.page.evaluate(f"async () => {{ await {ACTIVE}.sessionContext.shutdown(); }}")

    def use_theme(self, name):
        self.page.evaluate(
            "async theme => { await window.jupyterapp.commands.execute('apputils:change-theme', {theme}); }",
            name,
        )
