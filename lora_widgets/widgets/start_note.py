"""What stands beside the Start button, as markup: what would run, why it does not, what runs. Pure."""

import html
from collections.abc import Sequence
from pathlib import Path

from pydantic import SecretStr

from lora_widgets.config.fields import fields_by_name
from lora_widgets.config.findings import Draft, Finding
from lora_widgets.config.training_config import TrainingConfig
from lora_widgets.preview.numbers import counted
from lora_widgets.widgets.findings_box import place_of

CHECKING = "Checking everything once more, then starting …"
LONGEST_VALUE = 120


def note(kind: str, markup: str) -> str:
    """Wrap a note; ``kind`` decides its colour."""
    return f'<div class="lw-note lw-note-{kind}" role="status">{markup}</div>'


def ready_html(draft: Draft, *, images: int | None) -> str:
    """Say what Start would do, or that it would refuse."""
    if draft.config is None or draft.errors:
        return note("blocked", f"Not ready: {counted(len(draft.errors), 'error')} to settle first.")
    return note("ready", f"Ready to train {_what(draft, images)}")


def refused_html(errors: Sequence[Finding]) -> str:
    """Say why Start did nothing."""
    places = "".join(
        f"<li>{html.escape(', '.join(place_of(name) for name in finding.settings) or finding.message)}</li>"
        for finding in errors
    )
    head = f"<b>Not started.</b> Settle {counted(len(errors), 'error')} first:"
    return note("refused", f"{head}<ul>{places}</ul>")


def running_html(what_runs: str, *, is_started: bool) -> str:
    """Say what runs, and that the form is free for the next run."""
    if not is_started:
        return note("running", f"<b>Starting</b> {what_runs}")
    free = "The form is yours: changes here are for the next run."
    return note("running", f"<b>Training</b> {what_runs}<p>{free}</p>")


def ended_badly_html(reason: str) -> str:
    """Say that the last run broke down, and why."""
    return note("refused", f"<b>The last run failed.</b> {html.escape(reason[:2000])}")


def what_runs_html(draft: Draft, *, images: int | None) -> str:
    """Say what a run does: steps, pictures, base model, place of the files; the settings folded away."""
    assert draft.config is not None
    return f"{_what(draft, images)}{_differences(draft.config)}"


def _what(draft: Draft, images: int | None) -> str:
    config = draft.config
    assert config is not None
    steps = counted(draft.steps.total_steps, "step") if draft.steps else "steps"
    pictures = f" on {counted(images, 'picture')}" if images else ""
    family = f"{config.lora_type} for {config.model_type}"
    model = _cut(config.pretrained_model_name_or_path)
    place = _cut(str(Path(config.output_dir) / f"{config.file_stem}.{config.save_model_as}"))
    return (
        f"<b>{steps}</b>{pictures}: {html.escape(family)}, base model <b>{html.escape(model)}</b>. "
        f"Files: <code>{html.escape(place)}</code>"
    )


def _differences(config: TrainingConfig) -> str:
    specs = fields_by_name(TrainingConfig)
    changed = config.changed()
    rows = "".join(
        f"<tr><th scope='row'>{html.escape(place_of(name))}</th>"
        f"<td>{html.escape(_written(value))}</td>"
        f"<td>{'' if specs[name].required else html.escape(_written(specs[name].default))}</td></tr>"
        for name, value in changed.items()
    )
    return (
        f"<details><summary>{counted(len(changed), 'setting')} other than the defaults</summary>"
        "<table><tr><th scope='col'>Setting</th><th scope='col'>Value</th><th scope='col'>Default</th></tr>"
        f"{rows}</table></details>"
    )


def _written(value: object) -> str:
    if isinstance(value, SecretStr):
        return "••••••"
    if isinstance(value, bool):
        return "on" if value else "off"
    return "nothing" if value in (None, "") else _cut(str(value))


def _cut(text: str) -> str:
    return text if len(text) <= LONGEST_VALUE else text[: LONGEST_VALUE - 1] + "…"
