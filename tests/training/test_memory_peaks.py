"""What each phase takes is measured, and parts of the model are in memory only while they are used."""

import pytest
import torch

from lora_widgets.config.memory_estimate import MemoryEstimate, PhaseMemory
from lora_widgets.events import Finished, MemoryPeak, SampleReady, Started, StepDone
from lora_widgets.training import memory_peaks
from lora_widgets.training.memory_peaks import PeakMeter
from lora_widgets.training.start import iter_training

pytestmark = pytest.mark.any_libraries
CPU = torch.device("cpu")
ESTIMATE = MemoryEstimate((PhaseMemory("Training", (("base model", 5e6),)),), disk=0)
MUCH = 64 * 2**20


def worked(phase, meter, size):
    """Do work in a phase that takes ``size`` bytes for a moment."""

    def work():
        torch.zeros(size, dtype=torch.uint8)
        yield Finished("done", 0, 0, 0, ())

    return list(meter.measured(phase, work()))


def test_the_peak_of_a_phase_is_told_beside_its_estimate():
    told = []
    meter = PeakMeter(CPU, ESTIMATE, told)
    assert len(worked("Training", meter, MUCH)) == 1
    (peak,) = told
    assert peak.phase == "Training"
    assert (peak.estimated_bytes, peak.place) == (5_000_000, "memory")
    assert 0.9 * MUCH < peak.peak_bytes < 3 * MUCH


def test_a_phase_is_told_again_only_if_it_grew():
    told = []
    meter = PeakMeter(CPU, None, told)
    for size in (MUCH, MUCH // 4, 2 * MUCH):
        worked("Training", meter, size)
    assert [event.peak_bytes > 1.8 * MUCH for event in told] == [False, True]


def test_where_the_system_tells_nothing_nothing_is_said(monkeypatch, tmp_path):
    monkeypatch.setattr(memory_peaks, "PROCESS", tmp_path / "nothing")
    told = []
    worked("Training", PeakMeter(CPU, ESTIMATE, told), MUCH)
    assert told == []


def test_only_the_own_and_whole_work_of_a_phase_stands_for_it():
    meter = PeakMeter(CPU, None, [])
    for phase in ("Encoding pictures", "Training"):
        worked(phase, meter, MUCH)
    meter.only_partly("Encoding pictures")
    assert set(meter.peaks) == {"Training"}
    worked("Encoding pictures", meter, 1)
    assert set(meter.peaks) == {"Training", "Encoding pictures"}


def test_where_peaks_cannot_be_told_apart_none_stands_for_a_phase(monkeypatch, tmp_path):
    (tmp_path / "status").write_text("VmRSS: 100 kB\nVmHWM: 200 kB\n")
    (tmp_path / "clear_refs").mkdir()  # cannot be written
    monkeypatch.setattr(memory_peaks, "PROCESS", tmp_path)
    told = []
    meter = PeakMeter(CPU, None, told)
    worked("Training", meter, 1)
    assert [event.peak_bytes for event in told] == [100 * 1024]
    assert meter.peaks == {}


def test_a_run_has_in_memory_what_it_needs(make_config, opened):
    config = make_config(
        text_encoder_lr=0.0,
        cache_text_encoder_outputs=True,
        sample_every_n_steps=2,
        sample_prompts="a thing --s 2",
    )
    parts, kinds = {}, []
    for event in iter_training(config):
        (family,) = opened or [None]
        if isinstance(event, StepDone | SampleReady):
            parts.setdefault(type(event), set()).add((family.vae.model is None, family.clip_l.model is None))
        if isinstance(event, Started | MemoryPeak):
            kinds.append(event)
    assert parts == {StepDone: {(True, True)}, SampleReady: {(False, True)}}
    assert opened[0].vae.model is None
    phases = [event.phase for event in kinds[1:]]
    assert phases[:3] == ["Encoding captions", "Encoding pictures", "Loading the denoiser"]
    assert {"Training", "Drawing samples"} <= set(phases)


def test_live_latents_keep_the_vae(make_config, opened):
    config = make_config(
        cache_latents=False, max_train_steps=2, sample_every_n_steps=2, sample_prompts="a thing --s 2"
    )
    list(iter_training(config))
    assert opened[0].vae.model is not None
