"""A panel with an engine that trains nothing, and what a user does with them."""

from fake_run import FakeRun
from until import until

from lora_widgets.widgets.look_around import LookAround

LONG = {"steps": 100_000, "step_s": 0.01}
SHORT = {"steps": 5, "step_s": 0.0}


class Engine:
    """What Start starts: fake runs, which write their weights where a real one would."""

    def __init__(self):
        self.configs, self.runs = [], []
        self.options, self.error = SHORT, None

    def __call__(self, config, *, listeners):
        if self.error is not None:
            raise self.error

        def tell(event):
            for listener in listeners:
                listener(event)

        self.configs.append(config)
        self.runs.append(FakeRun(tell, folder=config.output_dir, **self.options).start())
        return self.runs[-1]


class LookAfter(LookAround):
    """Looks when ``wait(values)`` has returned."""

    def __init__(self, wait):
        super().__init__()
        self.wait = wait

    def __call__(self, values):
        self.wait(values)
        return super().__call__(values)


def enter(panel, name, value):
    """What a user does: change one control."""
    panel.form._controls[name].widget.value = value


def is_idle(panel):
    return panel._session.stage.value == "idle"


def is_settled(panel):
    with panel._lock:  # else the look is over, but what it found is not shown yet
        return not panel._scan.pending


def start_and_wait(panel, engine):
    before = len(engine.runs)
    panel._start.click()
    until(lambda: len(engine.runs) > before)
    until(lambda: not panel._start.disabled and is_settled(panel))


def settings_of(panel, severity):
    return {name for f in panel.findings if f.severity is severity for name in f.settings}


def mistake(panel):
    return panel._mistake.value


def run_buttons(panel):
    return panel._session.monitor._buttons.box.children
