"""The panel of file tools as a person finds it on a page."""

from adapter_files import VERSIONS, first_case, random_adapter
from playwright.sync_api import expect
from safetensors.torch import save_file

from lora_widgets.widgets.file_panel import TOOLS


def write_lora(path):
    """Write a small LoRA of SD1.5 with random numbers; return its path."""
    about = {"ss_base_model_version": VERSIONS["SD1.5"], "ss_training_comment": "first try"}
    save_file(random_adapter(first_case("sd15")), path, about)
    return path


class FileView:
    """The one panel of file tools on a page."""

    def __init__(self, notebook):
        self.notebook = notebook
        self.root = notebook.page.locator(".lw-tools")

    @property
    def answer(self):
        return self.root.locator(".lw-tools-answer")

    def show(self):
        """Make a panel in the kernel and show it."""
        self.notebook.run("from lora_widgets import LoraFiles\nfiles = LoraFiles()\nfiles")
        expect(self.root).to_be_visible()
        return self

    def choose(self, tool):
        """Choose a tool by its words, and wait for its fields."""
        self.root.get_by_label("Tool", exact=True).select_option(tool)
        (chosen,) = (row for row in TOOLS.values() if row.words == tool)
        expect(self.root.locator(".lw-tools-field")).to_have_count(len(chosen.fields))

    def run(self, tool, typed, *, says):
        """Type into fields by their labels, press the button, and wait for what the tool says."""
        self.choose(tool)
        for label, text in typed.items():
            field = self.root.get_by_label(label, exact=True)
            field.fill(text)
            field.press("Tab")
        self.root.locator("button", has_text="Run").click()
        expect(self.answer).to_contain_text(says)
