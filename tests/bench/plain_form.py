"""As many plain widgets of the same kinds as the form has, without its labels, states and checks.

What the bench compares the panel with: the least that shows as many settings in seven tabs.
"""

import ipywidgets

from lora_widgets.config.fields import fields
from lora_widgets.config.tabs import Tab
from lora_widgets.config.training_config import TrainingConfig
from lora_widgets.widgets.written import written


class PlainForm:
    """One widget for each setting, with a shared layout and styles; two texts and five buttons below."""

    def __init__(self, config):
        self._layout = ipywidgets.Layout(width="auto")
        self._styles = {}
        self.widgets = {
            spec.name: self._field(spec, getattr(config, spec.name)) for spec in fields(TrainingConfig)
        }
        self.text = ipywidgets.HTML("", layout=self._layout)
        self.text.add_class("plain-text")
        texts = [self.text, ipywidgets.HTML("", layout=self._layout)]
        names = ("Start", "Pause", "Stop", "Save", "Load")
        buttons = ipywidgets.HBox(
            [ipywidgets.Button(description=name) for name in names], layout=self._layout
        )
        self.box = ipywidgets.VBox([self._tabs(), *texts, buttons], layout=self._layout)

    def load(self, config):
        """Show a configuration, and a text that says so."""
        for spec in fields(TrainingConfig):
            self.widgets[spec.name].value = _shown(spec, getattr(config, spec.name))
        self.text.value = f"seed {config.seed}"

    def _tabs(self):
        tab = ipywidgets.Tab(layout=self._layout)
        grid = ipywidgets.Layout(display="grid", grid_template_columns="1fr 1fr")
        tab.children = [
            ipywidgets.Box(
                [self.widgets[s.name] for s in fields(TrainingConfig) if s.tab is place], layout=grid
            )
            for place in Tab
        ]
        for number, place in enumerate(Tab):
            tab.set_title(number, place.value)
        return tab

    def _field(self, spec, value):
        kind, traits = _kind(spec)
        if kind in self._styles:
            traits["style"] = self._styles[kind]
        label = {"description": spec.label, "layout": self._layout}
        widget = kind(value=_shown(spec, value), **label, **traits)
        self._styles.setdefault(kind, widget.style)
        widget.add_class("plain-field")
        return widget


def _kind(spec):
    if spec.type is bool:
        return ipywidgets.Checkbox, {"indent": False}
    if spec.choices:
        return ipywidgets.Dropdown, {"options": ["", *spec.choices]}
    kind = ipywidgets.Password if spec.secret else ipywidgets.Textarea if spec.multiline else ipywidgets.Text
    return kind, {"continuous_update": False}


def _shown(spec, value):
    return value if spec.type is bool else written(value)
