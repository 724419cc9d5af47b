"""The panel as a person finds it on a page: tabs, fields by their setting, findings, buttons."""

import re

from playwright.sync_api import expect

SET_ALL = """([root, values]) => {
  const missing = [];
  for (const [name, value] of Object.entries(values)) {
    const label = document.querySelector(`${root} .lw-field span[title$="(${name})"]`);
    const field = label && label.closest('.lw-field');
    const control = field && field.querySelector('input, select, textarea');
    if (!control) { missing.push(name); continue; }
    if (control.type === 'checkbox') {
      if (control.checked !== value) control.click();
      continue;
    }
    if (control.tagName === 'SELECT') {
      const place = [...control.options].findIndex(option => option.text.replace(/\\s\\(.*/, '') === value);
      if (place < 0) { missing.push(name); continue; }
      control.selectedIndex = place;
    } else {
      control.value = value;
      control.dispatchEvent(new Event('input', {bubbles: true}));
    }
    control.dispatchEvent(new Event('change', {bubbles: true}));
  }
  return missing;
}"""
READ_ALL = """root => Object.fromEntries([...document.querySelectorAll(`${root} .lw-field`)].map(field => {
  const name = field.querySelector('[title$=")"]').title.match(/\\((\\w+)\\)$/)[1];
  const control = field.querySelector('input, select, textarea');
  const chosen = control.tagName === 'SELECT' && control.selectedOptions[0];
  const text = chosen ? chosen.text.replace(/\\s/g, ' ') : control.value;
  const value = control.type === 'checkbox' ? control.checked : text;
  return [name, {value, disabled: control.disabled, labelled: control.labels.length === 1,
    reason: (field.querySelector('.lw-reason') || {}).textContent || '',
    hidden: field.classList.contains('lw-hide'), bad: field.classList.contains('lw-bad')}];
}))"""


class PanelView:
    """The one panel on a page; ``nth`` chooses among several views of it."""

    def __init__(self, notebook, nth=0):
        self.notebook, self.page = notebook, notebook.page
        self.root = notebook.page.locator(".lw-panel").nth(nth)

    def show(self, code="panel = new_panel()"):
        """Make a panel called `panel` in the kernel, show it, and wait for it."""
        self.notebook.run(f"{code}\npanel")
        expect(self.root.locator(".lw-start")).to_be_visible()
        expect(self.root.locator(".lw-field")).to_have_count(self.notebook.ask("len(panel.form.values)"))
        return self

    # Fields

    def open_tab(self, name):
        self.root.get_by_role("tab", name=re.compile(f"^{name}( \\(\\d+\\))?$")).click()

    def field(self, setting):
        return self.root.locator(f'.lw-field:has(span[title$="({setting})"])')

    def control(self, setting):
        return self.field(setting).locator("input, select, textarea")

    def choose(self, setting, name):
        assert self.set_all({setting: name}) == []

    def enter(self, setting, text):
        control = self.control(setting)
        control.fill(text)
        control.press("Tab")

    def error_of(self, setting):
        return self.field(setting).locator(".lw-error")

    def set_all(self, values):
        """Change many controls as a person would, but at once; return the settings that have none."""
        return self.page.evaluate(SET_ALL, [".lw-panel", values])

    def read_all(self):
        """Return what every control shows."""
        return self.page.evaluate(READ_ALL, ".lw-panel")

    # The rest

    @property
    def steps(self):
        return self.root.locator(".lw-steps-number")

    @property
    def arithmetic(self):
        return self.root.locator(".lw-steps-how")

    @property
    def findings(self):
        return self.root.locator(".lw-findings")

    def fix(self, label):
        self.root.locator("button.lw-fix", has_text=label).click()

    @property
    def start_button(self):
        return self.root.locator("button.lw-start")

    @property
    def note(self):
        return self.root.locator(".lw-start-note")

    @property
    def message(self):
        return self.root.locator(".lw-config-message")

    @property
    def state(self):
        return self.root.locator(".lw-monitor .lw-state")

    def press(self, name):
        # By text: the sign of the icon is a part of the accessible name.
        self.root.locator("button.jupyter-button", has_text=re.compile(rf"^\s*{name}\s*$")).click()

    def write_path(self, path):
        box = self.root.get_by_label("Configuration file")
        box.fill(path)
        box.press("Tab")
