"""Tests of lora_widgets/widgets/summary.py."""

from events import step_done

from lora_widgets.events import Failed, Finished
from lora_widgets.widgets.summary import summary_html, summary_text

HISTORY = [step_done(i, loss=0.25) for i in range(1, 10)]


def test_a_finished_run_tells_steps_time_loss_and_files(tmp_path):
    file = tmp_path / "zork.safetensors"
    file.write_bytes(b"x" * 1500)
    ending = Finished("done", 100, 100, 75.0, (str(file),))
    text = summary_text(ending, HISTORY)
    for part in ("100 of 100 steps", "1:15", "0.2500", str(file)):
        assert part in text
    markup = summary_html(ending, HISTORY)
    assert "zork.safetensors" in markup
    assert "1.5 kB" in markup


def test_a_stopped_run_says_that_all_is_saved():
    assert "stopped; everything is saved: 7 of 100" in summary_text(Finished("stopped", 7, 100, 5.0, ()), [])


def test_a_failed_run_tells_the_remedy_and_where_to_go_on():
    text = summary_text(Failed("No memory.", "Use a smaller batch.", "/runs/zork-state"), [])
    for part in ("No memory.", "Use a smaller batch.", "/runs/zork-state"):
        assert part in text


def test_texts_are_escaped():
    markup = summary_html(Failed("<script>", "<b>", "<i>"), [])
    assert not {"<script>", "<i>"} & set(markup.replace("><", "> <").split())
    finished = summary_html(
        Finished("done", 1, 1, 1.0, ("/runs/<script>alert(1)</script>'x'.safetensors",)), []
    )
    assert "<script" not in finished
