"""The panel: form, step calculator, findings, Start and the running training, in one widget."""

import threading
from collections.abc import Mapping
from dataclasses import replace

import ipywidgets
import traitlets

from lora_widgets.config.findings import Draft, Finding, Severity, check
from lora_widgets.config.steps import StepPlan
from lora_widgets.config.tabs import Tab
from lora_widgets.config.training_config import TrainingConfig
from lora_widgets.widgets import start_note
from lora_widgets.widgets.background_scan import BackgroundScan
from lora_widgets.widgets.config_bar import ConfigBar
from lora_widgets.widgets.findings_box import FindingsBox
from lora_widgets.widgets.form import Form
from lora_widgets.widgets.kept_output import FoldedOutput
from lora_widgets.widgets.markup import style_tag
from lora_widgets.widgets.mistake import mistake_html
from lora_widgets.widgets.schedule_drawing import schedule_html
from lora_widgets.widgets.session import Session, Stage, Starter, in_words
from lora_widgets.widgets.settled_click import SettledClick
from lora_widgets.widgets.shared_look import SharedLook
from lora_widgets.widgets.step_card import steps_html
from lora_widgets.widgets.view import field_views, tab_errors

_SEVERITIES = list(Severity)
_START = {"description": "Start training", "icon": "play", "button_style": "primary"}


class Panel(traitlets.HasTraits):
    """Edits a configuration and trains it. Data goes one way: any change -> `refresh` -> everything shown.

    The traits can be observed from other cells, and ``config`` can be assigned. They change together, on
    whatever thread the change came from: a cell, the page, the look at the pictures, or the end of a run.

    Args:
        config: what the form begins with; the defaults if not given.
        start: called as ``start(config, listeners=[...])``, begins a run in the background and returns it.
    """

    config = traitlets.Instance(TrainingConfig, allow_none=True)
    """What would be trained; None while a value in the form is invalid."""

    findings: traitlets.Tuple = traitlets.Tuple()
    """Everything there is to say about the configuration, errors first."""

    steps = traitlets.Instance(StepPlan, allow_none=True)
    """The length of the training; None while it is not known."""

    run = traitlets.Any(allow_none=True)
    """The newest run, also when it has ended; None before the first."""

    def __init__(self, config: TrainingConfig | None = None, *, start: Starter) -> None:
        super().__init__()
        self._lock = threading.RLock()
        self._look = SharedLook()
        self._refused = False
        self._what_runs = ""
        self._kept = FoldedOutput()
        self._scan = BackgroundScan(self.refresh, lock=self._lock)
        self._session = Session(start, keeper=self._kept, changed=self._session_changed)
        self._schedule = self._look.make(ipywidgets.HTML, {}, css=("lw-schedule-box", "lw-wide"))
        below = {Tab.LEARNING_RATE: self._schedule}
        self.form = Form(dict(config) if config else {}, self._changed, below)
        self._draft = check(self.form.values)
        self._card, self._note, self._mistake = (
            self._look.make(ipywidgets.HTML, {}, css=(css,))
            for css in ("lw-steps-box", "lw-start-note", "lw-mistake-box")
        )
        self._findings = FindingsBox(self._apply, self._look)
        self._start = self._look.make(ipywidgets.Button, _START, css=("lw-start",))
        SettledClick(self._start, self._ask_to_start, failed=self._show_mistake)
        self.config_bar = ConfigBar(
            lambda: self._draft, self.load, failed=self._show_mistake, look=self._look
        )
        self._run_place = self._look.make(ipywidgets.VBox, {}, css=("lw-run",))
        self.box = self._arranged()
        self.refresh()

    def refresh(self) -> None:
        """Check what the form holds and show everything anew; any thread may call it.

        What goes wrong here is shown in the panel: nobody reads the exceptions of callbacks.
        """
        with self._lock:
            try:
                self._refresh()
            except Exception as error:
                self._show_mistake(error)

    def load(self, values: Mapping[str, object]) -> None:
        """Put many values into the form at once; settings that are not given get their defaults."""
        with self._lock:
            self.form.load(values)
            self._changed()

    def _ipython_display_(self) -> None:
        """Show the panel, and below it the place for what remains of its runs."""
        from IPython.display import display

        display(self.box)
        self._kept.display()

    def _arranged(self) -> ipywidgets.VBox:
        make = self._look.make
        start = make(ipywidgets.HBox, {"children": (self._start, self._note)}, css=("lw-start-row",))
        parts = (
            make(ipywidgets.HTML, {"value": style_tag()}, css=("lw-style",)),
            self._card,
            self.form.box,
            self._findings.box,
            start,
            self.config_bar.box,
            self._mistake,
            self._run_place,
        )
        return make(ipywidgets.VBox, {"children": parts}, css=("lw-panel",))

    def _refresh(self) -> None:
        values = self.form.values
        self._scan.watch(values)
        draft = self._draft = self._checked(values)
        self.form.show(field_views(draft), tab_errors(draft))
        self._schedule.value = schedule_html(draft)
        self._card.value = steps_html(draft, self._scan.seen, counting=self._scan.pending)
        self._findings.show(draft.findings)
        self._answer_start(draft)
        self._show_session(draft)
        self._publish(draft)

    def _changed(self) -> None:
        """Take up a change that somebody made, who has seen by now what went wrong before it."""
        with self._lock:
            self._mistake.value = ""
            self.refresh()

    def _checked(self, values: Mapping[str, object]) -> Draft:
        """Check the values in the light of what was last seen on the disk."""
        seen = self._scan.seen
        draft = check(values, seen.facts)
        findings = sorted((*seen.findings, *draft.findings), key=_place)
        # While the pictures are counted again, old counts would give a wrong number of steps.
        return replace(draft, findings=tuple(findings), steps=None if self._scan.pending else draft.steps)

    def _publish(self, draft: Draft) -> None:
        with self.hold_trait_notifications():  # observers see all of them changed
            self.findings = draft.findings
            self.steps = draft.steps
            self.run = self._session.run
            self.config = draft.config

    @traitlets.observe("config")
    def _config_assigned(self, change: "traitlets.Bunch") -> None:
        """Take over a configuration that came from another cell; one that came from the form is known."""
        with self._lock:
            config, known = change["new"], self._draft.config
            if config is known:
                return
            if config is None:
                self.config = known
                raise traitlets.TraitError("config is None only while a value is invalid; assign a config")
            self.load(dict(config))

    def _apply(self, changes: Mapping[str, object]) -> None:
        """Make the changes of a fix."""
        with self._lock:
            try:
                self.form.change(changes)
            except Exception as error:
                self._show_mistake(error)
            else:
                self._changed()

    def _ask_to_start(self) -> None:
        """Look at the disk once more; `_answer_start` goes on when that is done."""
        with self._lock:
            if self._session.ask():
                self._refused = False
                self._scan.again(self.form.values)
            self._changed()

    def _answer_start(self, draft: Draft) -> None:
        if self._refused and not draft.errors:
            self._refused = False
        if self._session.stage is not Stage.ASKED or self._scan.pending:
            return
        if draft.config is None or draft.errors:
            self._refused = True
            self._session.refuse()
        else:
            self._what_runs = start_note.what_runs_html(draft, images=self._images())
            self._session.begin(draft.config)

    def _session_changed(self) -> None:
        """Take up that a run began or ended; an end leaves files, whose names are taken now."""
        with self._lock:
            if self._session.stage is Stage.IDLE:
                self._scan.again(self.form.values)
            self.refresh()

    def _show_session(self, draft: Draft) -> None:
        session = self._session
        if session.monitor is not None and self._run_place.children != (session.monitor.box,):
            self._run_place.children = (session.monitor.box,)
        self._start.disabled = session.stage is not Stage.IDLE
        self._note.value = self._note_html(draft)

    def _note_html(self, draft: Draft) -> str:
        match self._session.stage:
            case Stage.ASKED:
                return start_note.note("running", start_note.CHECKING)
            case Stage.STARTING:
                return start_note.running_html(self._what_runs, is_started=False)
            case Stage.RUNNING:
                return start_note.running_html(self._what_runs, is_started=True)
        if self._refused:
            return start_note.refused_html(draft.errors)
        problem = self._session.problem
        failed = start_note.ended_badly_html(in_words(problem)) if problem else ""
        return failed + start_note.ready_html(draft, images=self._images())

    def _images(self) -> int | None:
        dataset = self._scan.seen.facts.dataset
        return dataset.images if dataset else None

    def _show_mistake(self, error: Exception) -> None:
        self._mistake.value = mistake_html(error)


def _place(finding: Finding) -> int:
    return _SEVERITIES.index(finding.severity)
