"""Pictures of the panel of file tools to look at: ``python tests/browser/file_screenshots.py FOLDER``.

What each tool asks for, and what some of them say, in light and dark at two widths.
"""

import argparse
import tempfile
from pathlib import Path

from file_view import FileView, write_lora
from playwright.sync_api import expect
from screenshots import THEMES, WIDTHS
from sessions import one_notebook

HEIGHT = 1800
LIMIT_MS = 60_000


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("folder", type=Path)
    target = parser.parse_args().folder
    target.mkdir(parents=True, exist_ok=True)
    expect.set_options(timeout=LIMIT_MS)
    with tempfile.TemporaryDirectory() as temporary, one_notebook("lab") as notebook:
        take_all(notebook, Path(temporary), target)


def take_all(notebook, folder, target):
    view, style = FileView(notebook).show(), str(write_lora(folder / "style.safetensors"))

    def new(name):
        return str(folder / f"{name}.safetensors")

    def take(what):
        for theme, name in THEMES.items():
            notebook.use_theme(name)
            for width in WIDTHS:
                notebook.page.set_viewport_size({"width": width, "height": HEIGHT})
                notebook.page.wait_for_timeout(400)  # until the page has been laid out anew
                view.root.screenshot(path=target / f"{what}-{theme}-{width}.png")

    take("empty")
    view.run("Look into a file", {"LoRA file": style}, says="SD1.5")
    take("inspect")
    view.run("Convert the names", {"New file": new("converted")}, says="Written")
    take("convert")
    view.run("Resize the rank", {"New file": new("small"), "Share of norm": "0.9"}, says="Written")
    take("resize")
    both = {"LoRA files": f"{style}:0.7\n{new('small')}", "New file": new("both")}
    view.run("Merge files", both, says="Written")
    take("merge")
    view.run("Merge files", {}, says="exists already")
    take("error")
    view.choose("Extract from two models")
    take("extract")


if __name__ == "__main__":
    main()
