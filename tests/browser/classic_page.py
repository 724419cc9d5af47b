"""The classic Notebook 6, driven through its global `Jupyter` object."""

from notebook_page import OPEN_LIMIT_MS, NotebookPage

READY = """() => {
  const notebook = window.Jupyter && window.Jupyter.notebook;
  return notebook && notebook._fully_loaded && notebook.kernel && notebook.kernel.is_connected()
    && notebook.kernel.info_reply.status === 'ok';
}"""
RUN = """([position, code]) => {
  const cell = Jupyter.notebook.get_cell(position);
  cell.set_text(code);
  Jupyter.notebook.select(position);
  cell.execute();
}"""
FINISHED = "position => !Jupyter.notebook.get_cell(position).element.hasClass('running')"
ASK = """([code, user_expressions]) => new Promise(resolve => {
  const reply = message => resolve(message.content);
  Jupyter.notebook.kernel.execute(
    code, {shell: {reply}}, {silent: true, store_history: false, user_expressions});
})"""


class ClassicPage(NotebookPage):
    def wait_until_ready(self):
        self.page.wait_for_function(READY, timeout=OPEN_LIMIT_MS)

    def run(self, code, *, cell=0, wait=True):
        self.page.evaluate(RUN, [cell, code])
        if wait:
            self.page.wait_for_function(FINISHED, arg=cell)

    def start_all(self):
        self.page.evaluate("() => { Jupyter.notebook.execute_all_cells(); }")

    def wait_until_idle(self, limit_ms=60_000):
        self.page.wait_for_function(
            """() => !Jupyter.notebook.get_cells().some(cell => cell.element.hasClass('running'))
                && !Jupyter.notebook.kernel_busy""",
            timeout=limit_ms,
        )

    def outputs(self, cell=0):
        return self.page.evaluate("cell => Jupyter.notebook.get_cell(cell).output_area.toJSON()", cell)

    def evaluate_in_kernel(self, code, expressions):
        return self.page.evaluate(ASK, [code, expressions])

    def interrupt(self):
        """Press the square button of the toolbar."""
        self.page.locator('[data-jupyter-action="jupyter-notebook:interrupt-kernel"]').first.click()

    def save(self):
        self.page.evaluate("async () => { await Jupyter.notebook.save_notebook(); }")

    def shut_down_kernel(self):
        self.page.evaluate("async () => { await Jupyter.notebook.session.delete(); }")
