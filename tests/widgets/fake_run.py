"""A run that trains nothing: the same thread, events and controls as a real one, at the speed asked for."""

import threading
import time
from pathlib import Path

from events import started, step_done
from PIL import Image, ImageDraw

from lora_widgets.events import Finished, Notice, PhaseProgress, SampleReady, Saved

PROMPTS = ("a photo of zork on a green meadow", "zork beside a red house, <b>at night</b>")


def draw_sample(path, *, sharpness, size=64):
    """Draw a creature that gets its ears and stripes as ``sharpness`` goes from 0 to 1."""
    picture = Image.new("RGB", (size, size), (120, 190, 120))
    pen = ImageDraw.Draw(picture)
    unit = size / 64
    body = tuple(round((1 - sharpness) * 150 + sharpness * c) for c in (230, 120, 40))
    if sharpness > 0.3:
        for x in (20, 36):
            pen.polygon(
                [(x * unit, 22 * unit), ((x + 8) * unit, 22 * unit), ((x + 4) * unit, 8 * unit)], fill=body
            )
    pen.ellipse([16 * unit, 16 * unit, 48 * unit, 48 * unit], fill=body)
    if sharpness > 0.6:
        for y in (34, 40):
            pen.line(
                [(20 * unit, y * unit), (44 * unit, y * unit)],
                fill=(90, 40, 10),
                width=max(1, round(2 * unit)),
            )
    for x in (25, 36):
        pen.ellipse([x * unit, 24 * unit, (x + 4) * unit, 28 * unit], fill=(20, 20, 20))
    path.parent.mkdir(parents=True, exist_ok=True)
    picture.save(path)


class FakeRun:
    """Stands in for a run: emits events from a daemon thread until it is done or stopped."""

    def __init__(self, listener, *, steps=300, step_s=0.02, folder="fake-run", size=64, fails_at=None):
        self.listener, self.steps, self.step_s = listener, steps, step_s
        self.folder, self.size, self.fails_at = Path(folder), size, fails_at
        self.done, self._stop, self._go = threading.Event(), threading.Event(), threading.Event()
        self._go.set()
        self.error = None
        self.thread = threading.Thread(target=self._work, daemon=True)

    @property
    def alive(self):
        return self.thread.ident is not None and not self.done.is_set()

    @property
    def paused(self):
        return not self._go.is_set()

    def start(self):
        self.thread.start()
        return self

    def stop(self):
        self._stop.set()
        self._go.set()

    def pause(self):
        self._go.clear()

    def unpause(self):
        self._go.set()

    def _work(self):
        try:
            self._train()
        except BaseException as error:
            self.error = error
        finally:
            self.done.set()

    def _train(self):
        begin = time.monotonic()
        for done in range(17):
            self.listener(PhaseProgress("caching latents", done, 16))
            time.sleep(self.step_s)
        self._samples(0)
        self.listener(started(self.steps))
        self.listener(Notice("warning", "2 pictures without a caption: <script>alert(1)</script>"))
        step = 0
        while step < self.steps:
            self._go.wait()
            if self._stop.is_set():
                break
            step += 1
            if step == self.fails_at:
                raise ValueError("the loss is not finite")
            time.sleep(self.step_s)
            self.listener(step_done(step, seconds=self.step_s))
            if step % max(1, self.steps // 4) == 0:
                self._samples(step)
        weights = self.folder / "zork.safetensors"
        weights.parent.mkdir(parents=True, exist_ok=True)
        weights.write_bytes(b"x" * 345678)
        self.listener(Saved("weights", step, 4, str(weights)))
        reason = "done" if step == self.steps else "stopped"
        seconds = time.monotonic() - begin
        self.listener(Finished(reason, step, self.steps, seconds, (str(weights),)))

    def _samples(self, step):
        for index, prompt in enumerate(PROMPTS):
            self.listener(PhaseProgress("drawing samples", index, len(PROMPTS)))
            path = self.folder / "sample" / f"{step:06d}_{index}.png"
            draw_sample(path, sharpness=step / self.steps, size=self.size)
            self.listener(SampleReady(step, step // 75, index, prompt, 42 + index, str(path), 0.5))
