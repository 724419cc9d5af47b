"""Memory that runs out is told as such, with the remedy; what was learned is saved, and memory comes back."""

import gc
import weakref

import pytest
import torch

from lora_widgets.errors import TrainingError
from lora_widgets.events import Saved
from lora_widgets.families import filling
from lora_widgets.families.autoencoder import Autoencoder
from lora_widgets.families.sd15 import SD15
from lora_widgets.training.out_of_memory import explained, is_out_of_memory
from lora_widgets.training.start import iter_training

pytestmark = pytest.mark.any_libraries
CPU_WORDS = (
    "[enforce fail at alloc_cpu.cpp:124] err == 0. DefaultCPUAllocator: can't allocate memory: you tried to "
    "allocate 8589934592 bytes."
)
ERRORS = [
    torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB."),
    MemoryError(),
    RuntimeError(CPU_WORDS),
]


def failing(monkeypatch, method, error, *, after, of=SD15):
    """Let a method of the family or a part fail after ``after`` calls, while a large tensor is alive."""
    original, calls, held = getattr(of, method), [], []

    def work(self, *args, **kwargs):
        calls.append(1)
        if len(calls) > after:
            large = torch.zeros(1000)
            held.append(weakref.ref(large))
            raise error
        return original(self, *args, **kwargs)

    monkeypatch.setattr(of, method, work)
    return held


@pytest.mark.parametrize("error", ERRORS, ids=lambda error: type(error).__name__)
def test_in_the_loop_the_weights_are_saved_and_the_remedy_is_ordered(make_config, monkeypatch, error):
    held = failing(monkeypatch, "predict", error, after=2)
    events = []
    with pytest.raises(TrainingError, match="Memory ran out during step 3") as caught:
        for event in iter_training(make_config(train_batch_size=4)):
            events.append(event)
    text = str(caught.value)
    order = ["gradient_checkpointing", "train_batch_size", "resolution", "AdamW8bit"]
    assert [text.index(word) for word in order] == sorted(text.index(word) for word in order)
    assert [event.step for event in events if isinstance(event, Saved)] == [2, 2]
    gc.collect()
    assert held[0]() is None, "the tensors of the failed step are kept alive"


def test_while_encoding_the_batch_of_the_vae_comes_first(make_config, monkeypatch):
    held = failing(monkeypatch, "encode", MemoryError(), after=0, of=Autoencoder)
    with pytest.raises(TrainingError, match=r"during loading and encoding.*vae_batch_size.*8 to 1") as caught:
        list(iter_training(make_config(vae_batch_size=8)))
    del caught
    gc.collect()
    assert held[0]() is None


@pytest.mark.parametrize("family", ["SD1.5", "SDXL", "SD3", "Flux"])
def test_while_a_part_is_filled_too(config_of, monkeypatch, tmp_path, family):
    def no_room(*_arguments, **_keywords):
        raise MemoryError

    monkeypatch.setattr(filling, "_put", no_room)
    with pytest.raises(TrainingError, match=r"Memory ran out during loading and encoding.*`base_weights` to"):
        list(iter_training(config_of(family)))
    assert not list((tmp_path / "out").rglob("*.safetensors"))


def test_a_second_run_in_the_same_process_works(make_config, monkeypatch):
    with monkeypatch.context() as patched:
        failing(patched, "predict", MemoryError(), after=0)
        with pytest.raises(TrainingError):
            list(iter_training(make_config()))
    list(iter_training(make_config(output_name="again", max_train_steps=1)))


@pytest.mark.parametrize(
    ("error", "is_it"),
    [
        (RuntimeError("shapes do not match"), False),
        (TrainingError("out of memory"), False),
        (ERRORS[2], True),
    ],
)
def test_other_errors_are_not_taken_for_it(error, is_it):
    assert is_out_of_memory(error) is is_it


@pytest.mark.parametrize(("device", "helps"), [("cuda", True), ("cpu", False), ("mps", False)])
def test_blocks_are_swapped_only_where_there_is_another_memory(config_of, device, helps):
    said = str(explained(MemoryError(), config_of("Flux"), device=torch.device(device), while_doing="step 1"))
    assert ("`blocks_to_swap`" in said) is helps
    assert ("`cache_latents_to_disk`" in said) is not helps
