"""How a run ended, in words and as markup. Pure."""

import html
from collections.abc import Sequence
from pathlib import Path

from lora_widgets.events import Failed, Finished, StepDone
from lora_widgets.widgets import wording
from lora_widgets.widgets.series import half_life, smooth


def summary_lines(ending: Finished | Failed, history: Sequence[StepDone]) -> list[str]:
    """Return the outcome as sentences: how it ended, how long it took, what the loss did."""
    if isinstance(ending, Failed):
        resume = [f"The newest state to resume from: {ending.last_state}"] if ending.last_state else []
        return [f"Training failed: {ending.error}", ending.remedy, *resume]
    how = "Training is done" if ending.reason == "done" else "Training was stopped; everything is saved"
    lines = [f"{how}: {ending.step} of {ending.total_steps} steps in {wording.duration(ending.seconds)}."]
    if history:
        smoothed = smooth([event.loss for event in history], half_life(len(history)))
        lines.append(f"Smoothed loss at the end: {smoothed[-1]:.4f}.")
    return lines


def headline(ending: Finished | Failed, history: Sequence[StepDone], *, name: str) -> str:
    """Return the outcome in one line: name, how it ended, steps, last loss, number of files."""
    word = "failed" if isinstance(ending, Failed) else ending.reason
    step = ending.step if isinstance(ending, Finished) else history[-1].step if history else 0
    parts = [word, f"{step} steps"]
    if history:
        smoothed = smooth([event.loss for event in history], half_life(len(history)))
        parts.append(f"loss {smoothed[-1]:.4f}")
    if files := _files_of(ending):
        parts.append("1 file" if len(files) == 1 else f"{len(files)} files")
    return f"{name}: {', '.join(parts)}"


def summary_text(ending: Finished | Failed, history: Sequence[StepDone]) -> str:
    """Return the outcome in plain words, with the files."""
    files = [f"  {path}" for path in _files_of(ending)]
    return "\n".join([*summary_lines(ending, history), *(["Files:", *files] if files else [])])


def summary_html(ending: Finished | Failed, history: Sequence[StepDone]) -> str:
    """Return the outcome as markup, with the files."""
    kind = "failed" if isinstance(ending, Failed) else ending.reason
    first, *rest = (html.escape(line) for line in summary_lines(ending, history))
    others = "".join(f"<p>{line}</p>" for line in rest)
    return (
        f'<div class="lw-summary lw-summary-{kind}"><p><b>{first}</b></p>{others}</div>{files_html(ending)}'
    )


def files_html(ending: Finished | Failed) -> str:
    """Return the list of the files a run left, with their sizes."""
    paths = _files_of(ending)
    if not paths:
        return ""
    rows = "".join(
        f"<li><code title='{html.escape(path, quote=True)}'>{html.escape(Path(path).name)}</code> "
        f'<span class="lw-hint">{wording.file_size(path)}</span></li>'
        for path in paths
    )
    folder = html.escape(str(Path(paths[-1]).parent))
    title = f'<div class="lw-section">Files <span class="lw-hint">in {folder}</span></div>'
    return f'{title}<ul class="lw-files">{rows}</ul>'


def _files_of(ending: Finished | Failed) -> tuple[str, ...]:
    return ending.files if isinstance(ending, Finished) else ()
