"""Drawing samples leaves the training as it was, whatever happens meanwhile, and files say how they came."""

import errno

import pytest
import torch
from PIL import Image
from runs import assert_same_weights, run

from lora_widgets.events import Finished, Notice, PhaseProgress, SampleReady
from lora_widgets.families.autoencoder import Autoencoder
from lora_widgets.families.sd15 import SD15
from lora_widgets.training.control import Control
from lora_widgets.training.start import iter_training

pytestmark = pytest.mark.any_libraries
DEMANDING = {"network_dropout": 0.2, "gradient_checkpointing": True, "max_train_steps": 2}
TEXT = {"live": {}, "cached": {"text_encoder_lr": 0.0, "cache_text_encoder_outputs": True}}
DRAWING = {"sample_every_n_steps": 1, "sample_prompts": "a thing --s 2 --n blue\na dot --s 1 --ss ddim"}


def pixels_of(path):
    """Return the numbers of a picture, without what is written beside them."""
    with Image.open(path) as picture:
        return picture.tobytes()


def notices(events):
    """Return what is said about samples; on a machine without GPU, the run says so too."""
    said = [event.message for event in events if isinstance(event, Notice)]
    return [message for message in said if message.startswith("Sample")]


@pytest.mark.parametrize(("family", "text"), [("SD1.5", "live"), ("SDXL", "cached")])
def test_samples_change_no_bit_of_what_is_learned(config_of, family, text):
    plain = config_of(family, **DEMANDING, **TEXT[text], output_name="plain")
    drawn = config_of(family, **DEMANDING, **TEXT[text], **DRAWING, output_name="drawn")
    run(plain)
    state = torch.get_rng_state()
    events = run(drawn)
    assert torch.equal(torch.get_rng_state(), state)
    assert [event.step for event in events if isinstance(event, SampleReady)] == [0, 0, 1, 1, 2, 2]
    assert_same_weights(drawn, plain)


def test_a_run_stopped_while_drawing_goes_on_exactly(make_config, tmp_path):
    whole = make_config(**DEMANDING, **DRAWING, output_dir=str(tmp_path / "whole"))
    parts = make_config(**DEMANDING, **DRAWING, output_dir=str(tmp_path / "parts"))
    run(whole)
    control, drawings = Control(), 0
    for event in iter_training(parts, control):
        drawings += isinstance(event, PhaseProgress) and event.phase == "Drawing samples" and event.done == 1
        if drawings == 2:  # those before training, and now those after step 1
            control.stop()
    assert isinstance(event, Finished)
    assert (event.reason, event.step) == ("stopped", 1)
    run(parts.with_changes(resume="latest"))
    assert_same_weights(parts, whole)


WHERE = "Sample 2, 'a dot', was not drawn: "
NO_MEMORY = "memory ran out at 64 x 64 pixels. Draw it smaller, with --w and --h in `sample_prompts`."
FAILURES = [
    (torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2 GiB.\nMore."), NO_MEMORY),
    (RuntimeError("DefaultCPUAllocator: can't allocate memory: you tried to allocate 9 bytes."), NO_MEMORY),
    (IndexError("index 1 is out of bounds"), "index 1 is out of bounds. The training goes on without it."),
]


def test_a_picture_that_cannot_be_drawn_is_named_and_costs_only_itself(make_config, monkeypatch):
    plain = make_config(**DEMANDING, output_name="plain")
    run(plain)
    decode, drawn = Autoencoder.decode, []

    def failing(self, latents):
        drawn.append(latents)
        if len(drawn) % 2 == 0:
            raise FAILURES[len(drawn) // 2 - 1][0]
        return decode(self, latents)

    monkeypatch.setattr(Autoencoder, "decode", failing)
    config = make_config(**DEMANDING, **DRAWING, output_name="drawn")
    events = run(config)
    assert notices(events) == [WHERE + sentence for _, sentence in FAILURES]
    assert [event.index for event in events if isinstance(event, SampleReady)] == [0] * 3
    assert_same_weights(config, plain)


@pytest.mark.parametrize(
    ("part", "precision", "words"),
    [
        ("denoiser", "no", "the base model gives numbers that are not finite"),
        ("denoiser", "fp16", 'It overflows in fp16: set `mixed_precision` to "bf16" or "no"'),
        ("vae", "no", "the VAE gives numbers that are not finite, in full precision too"),
    ],
)
def test_a_picture_without_numbers_is_named_and_not_written_black(
    make_config, monkeypatch, part, precision, words
):
    """An overflow of the denoiser is no fault of the VAE, which goes on as it was."""
    predict, decode = SD15.predict, Autoencoder.decode

    def predicted(self, *arguments):
        found = predict(self, *arguments)
        return found if torch.is_grad_enabled() or part == "vae" else found * torch.inf

    def decoded(self, latents):
        return decode(self, latents) * (torch.nan if part == "vae" else 1)

    monkeypatch.setattr(SD15, "predict", predicted)
    monkeypatch.setattr(Autoencoder, "decode", decoded)
    events = run(
        make_config(
            max_train_steps=1,
            mixed_precision=precision,
            sample_at_first=False,
            sample_every_n_steps=1,
            sample_prompts="a thing --s 2",
        )
    )
    (said,) = notices(events)
    assert said.startswith("Sample 1, 'a thing', was not drawn: ")
    assert words in said
    assert [event for event in events if isinstance(event, SampleReady)] == []
    assert not [event for event in events if isinstance(event, Notice) and "VAE overflows" in event.message]


def test_guidance_of_1_or_less_is_none(make_config):
    """0 is what the pages of distilled models ask for; followed, it would draw the negative prompt."""
    lines = [f"a thing --s 2 --d 1 --n blue --l {scale}" for scale in (1, 0, 0.5, 2)]
    events = run(make_config(max_train_steps=1, sample_every_n_steps=1, sample_prompts="\n".join(lines)))
    unguided, *off, guided = [
        pixels_of(event.path) for event in events if isinstance(event, SampleReady) and event.step == 0
    ]
    assert off == [unguided, unguided]
    assert guided != unguided


def test_samples_for_which_the_vae_finds_no_room_are_left_out(make_config, monkeypatch):
    load, loads = Autoencoder.load, []

    def failing(self, device, dtype):
        loads.append(device)
        if len(loads) == 2:  # first it encodes the pictures
            raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2 GiB.")
        load(self, device, dtype)

    monkeypatch.setattr(Autoencoder, "load", failing)
    events = run(make_config(max_train_steps=1, sample_every_n_steps=1, sample_prompts="a thing --s 1"))
    (said,) = [e.message for e in events if isinstance(e, Notice) and "samples were not drawn" in e.message]
    assert "memory ran out while the VAE was loaded" in said
    assert [event.step for event in events if isinstance(event, SampleReady)] == [1]
    assert events[-1].reason == "done"


def test_a_picture_that_cannot_be_written_is_named(make_config, monkeypatch):
    def full(self, path, **how):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(Image.Image, "save", full)
    events = run(make_config(max_train_steps=1, sample_every_n_steps=1, sample_prompts="a thing --s 1"))
    sentence = "Sample 1, 'a thing', was not drawn: No space left on device. The training goes on without it."
    assert notices(events) == [sentence] * 2
    assert events[-1].reason == "done"


def test_a_picture_says_how_it_was_drawn_without_a_path(make_config, tmp_path):
    line = "a größer thing --n blue --s 2 --l 3 --d 7 --ss euler"
    events = run(make_config(max_train_steps=1, sample_every_n_steps=1, sample_prompts=line))
    _, last = [event for event in events if isinstance(event, SampleReady)]
    assert last.seconds > 0
    with Image.open(last.path) as picture:
        assert picture.text == {
            "parameters": "a größer thing\nNegative prompt: blue\nSteps: 2, Sampler: euler, CFG scale: 3, "
            "Seed: 7, Size: 64x64, LoRA: tiny at step 1"
        }


def test_the_same_prompt_has_the_same_noise_at_every_step_and_a_seed_of_its_own(make_config):
    prompts = "a thing --s 1\na thing --s 1"
    events = run(
        make_config(max_train_steps=2, sample_every_n_steps=1, sample_prompts=prompts, unet_lr=0, seed=3)
    )
    seeds = {index: set() for index in range(2)}
    for event in events:
        if isinstance(event, SampleReady):
            seeds[event.index].add(event.seed)
    assert [len(found) for found in seeds.values()] == [1, 1]
    assert seeds[0] != seeds[1]


def test_drawing_before_training_can_be_turned_off(make_config):
    config = make_config(max_train_steps=1, sample_at_first=False, **DRAWING)
    assert [event.step for event in run(config) if isinstance(event, SampleReady)] == [1, 1]
