"""The monitor: a run as it goes, in one widget. The training thread feeds it events and draws it."""

import ipywidgets

from lora_widgets.events import Event, Failed, Finished, PhaseProgress, SampleReady, Started, StepDone
from lora_widgets.widgets.buttons import RunButtons, Stoppable
from lora_widgets.widgets.charts import loss_chart, rate_chart
from lora_widgets.widgets.kept_output import Keeper, KeptOutput, Record
from lora_widgets.widgets.log_view import LogView
from lora_widgets.widgets.markup import html_widget, style_tag
from lora_widgets.widgets.memory import resident_bytes
from lora_widgets.widgets.progress import Progress
from lora_widgets.widgets.samples_view import SamplesView
from lora_widgets.widgets.status_view import Surroundings, status_html
from lora_widgets.widgets.summary import headline, summary_html, summary_text
from lora_widgets.widgets.throttle import Throttle


class Monitor:
    """Shows one run: progress, loss, learning rates, samples, log and files, with buttons to pause and stop.

    A listener: call it with every event, always from the training thread. Nothing is lost when it does not
    draw; it draws at most twice a second and for at most 1 % of the time, and at once when the run changes
    what it does.
    """

    def __init__(self, throttle: Throttle | None = None) -> None:
        self._throttle = throttle or Throttle()
        self._progress = Progress()
        self._history: list[StepDone] = []
        self._buttons: RunButtons | None = None
        self._keeper: Keeper | None = None
        self._is_kept = False
        self._drawn_wishes = (False, False)
        self._layout = ipywidgets.Layout(width="auto")  # shared by all: one message instead of a dozen
        self._status = html_widget(css_class="lw-status", layout=self._layout)
        self._charts = html_widget(css_class="lw-charts", layout=self._layout)
        self._ending = html_widget(css_class="lw-ending", layout=self._layout)
        self._button_place = ipywidgets.VBox([], layout=self._layout)
        self._samples = SamplesView(self._layout)
        self._log = LogView(self._layout)
        self.box = self._arranged()
        self._draw_status()

    def __call__(self, event: Event) -> None:
        """Take one event; called by the training thread."""
        changes_activity = self._changes_activity(event)
        self._progress.take(event)
        self._log.take(event)
        if isinstance(event, StepDone):
            self._history.append(event)
        elif isinstance(event, SampleReady):
            self._samples.take(event)
        if changes_activity or self._wishes() != self._drawn_wishes or self._throttle.due():
            self._draw()
        if isinstance(event, Finished | Failed):
            self._keep()

    def bind(self, run: Stoppable) -> None:
        """Let the buttons act on ``run``, and on no other."""
        buttons = RunButtons(run, self._layout)
        buttons.draw(ended=self._progress.ending is not None)
        self._button_place.children = (buttons.box,)
        self._buttons = buttons

    def display(self) -> None:
        """Show the monitor in the cell being executed; at the end that output is replaced by what is kept."""
        self.keep_in(KeptOutput(self.box))

    def keep_in(self, keeper: Keeper) -> None:
        """Put what remains of the run there when it ends."""
        # Here because matplotlib takes a second, which neither showing a panel nor stopping a run should.
        from lora_widgets.widgets.picture import loss_picture

        self._keeper, self._loss_picture = keeper, loss_picture

    def finish(self) -> None:
        """Draw the newest state once more and keep it; for the end of a run, any number of times."""
        self._draw()
        self._keep()

    def _ipython_display_(self) -> None:
        """Show a further view of the same widget, for example after the page was loaded again."""
        from IPython.display import display

        display(self.box)

    def _arranged(self) -> ipywidgets.VBox:
        style = html_widget(style_tag(), css_class="lw-style", layout=self._layout)
        parts = [
            self._status,
            self._button_place,
            self._charts,
            self._samples.box,
            self._ending,
            self._log.box,
        ]
        box = ipywidgets.VBox([style, *parts], layout=self._layout)
        box.add_class("lw-monitor")
        return box

    def _changes_activity(self, event: Event) -> bool:
        """Return whether the run now does something else, which a person should see at once."""
        if isinstance(event, PhaseProgress):
            phase = self._progress.phase
            return phase is None or phase.phase != event.phase
        return isinstance(event, Started | Finished | Failed)

    def _wishes(self) -> tuple[bool, bool]:
        """Return whether the user asked to pause and to stop."""
        return (self._buttons.paused, self._buttons.stop_asked) if self._buttons else (False, False)

    def _draw(self) -> None:
        with self._throttle.drawing():
            self._draw_status()
            self._draw_charts()
            self._samples.draw()
            self._log.draw()
            if self._progress.ending is not None:
                self._ending.value = summary_html(self._progress.ending, self._history)

    def _draw_status(self) -> None:
        self._drawn_wishes = paused, stopping = self._wishes()
        around = Surroundings(paused, stopping, resident_bytes())
        self._status.value = status_html(self._progress, around)
        if self._buttons is not None:
            self._buttons.draw(ended=self._progress.ending is not None)

    def _draw_charts(self) -> None:
        steps = [event.step for event in self._history]
        losses = [event.loss for event in self._history]
        components = self._history[-1].learning_rates if self._history else {}
        rates = {name: [event.learning_rates[name] for event in self._history] for name in components}
        self._charts.value = (
            f'<div class="lw-chart-row">{loss_chart(steps, losses)}{rate_chart(steps, rates)}</div>'
        )

    def _keep(self) -> None:
        ending = self._progress.ending
        if self._keeper is None or ending is None or self._is_kept:
            return
        self._is_kept = True
        head = status_html(self._progress, Surroundings())
        outcome = summary_html(ending, self._history)
        body = f"{head}{outcome}{self._samples.kept_html()}{self._log.kept_html()}"
        record = Record(
            headline=headline(ending, self._history, name=self._name()),
            markup=f'{style_tag()}<div class="lw-monitor lw-kept">{body}</div>',
            text=summary_text(ending, self._history),
            png=self._loss_picture(self._history, title=self._picture_title()),
        )
        self._keeper.keep(record)

    def _name(self) -> str:
        return self._progress.started.run_name if self._progress.started else "LoRA training"

    def _picture_title(self) -> str:
        started = self._progress.started
        return (
            f"{started.run_name}: {self._progress.step} of {started.total_steps} steps" if started else "Loss"
        )
