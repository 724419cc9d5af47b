"""The loop runs as many steps as were shown, reports them, and saves when it should."""

import random
import shutil

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image
from safetensors.torch import load_file, save_file
from tiny import settings_for

from lora_widgets.catalog.partial_batches import PARTIAL_BATCHES
from lora_widgets.config.findings import Facts, check
from lora_widgets.config.training_config import TrainingConfig
from lora_widgets.data.facts import facts_for
from lora_widgets.errors import DatasetError, TrainingError
from lora_widgets.events import (
    Finished,
    MemoryPeak,
    Notice,
    PhaseProgress,
    SampleReady,
    Saved,
    Started,
    StepDone,
)
from lora_widgets.families.family import open_family
from lora_widgets.training import plan
from lora_widgets.training.start import iter_training

pytestmark = pytest.mark.any_libraries


def steps_of(events):
    return [e for e in events if isinstance(e, StepDone)]


def test_a_run_tells_its_phases_steps_and_files_in_order(make_config, tmp_path):
    config = make_config(sample_every_n_steps=2, sample_prompts="a thing --d 3 --s 2", save_every_n_steps=2)
    events = list(iter_training(config))
    kinds = [type(e).__name__ for e in events if not isinstance(e, PhaseProgress | Notice | MemoryPeak)]
    step, sample, saves = ["StepDone"], ["SampleReady"], ["Saved", "Saved"]
    middle = [*step, *step, *sample, *saves, *step, *step, *sample, *saves]
    assert kinds == ["Started", *sample, *middle, *saves, "Finished"]
    assert [e.step for e in events if isinstance(e, SampleReady)] == [0, 2, 4]
    assert [e.step for e in steps_of(events)] == [1, 2, 3, 4]
    names = {p.name for p in (tmp_path / "out").iterdir()}
    assert {"tiny.safetensors", "tiny-step00000002.safetensors", "tiny-step00000004.safetensors"} <= names
    assert {"tiny-state", "sample", "tiny.config.toml"} <= names


def test_only_the_newest_state_is_kept_unless_states_are_wanted(make_config, tmp_path):
    list(iter_training(make_config(save_every_n_steps=1)))
    assert [p.name for p in (tmp_path / "out").glob("*-state")] == ["tiny-state"]
    list(iter_training(make_config(save_every_n_steps=2, save_state=True, output_name="all")))
    kept = {p.name for p in (tmp_path / "out").glob("all*-state")}
    assert kept == {"all-step00000002-state", "all-step00000004-state", "all-state"}


def test_only_the_last_epochs_are_kept(make_config, tmp_path):
    config = make_config(
        train_batch_size=16,
        max_train_steps=0,
        max_train_epochs=5,
        save_every_n_epochs=1,
        save_last_n_epochs=2,
    )
    events = list(iter_training(config))
    assert len(steps_of(events)) == 5
    names = {p.name for p in (tmp_path / "out").glob("*.safetensors")}
    assert names == {"tiny-000003.safetensors", "tiny-000004.safetensors", "tiny.safetensors"}


def test_gradient_checkpointing_changes_nothing(make_config):
    plain = steps_of(iter_training(make_config(network_dropout=0.2, output_name="plain")))
    lean = make_config(network_dropout=0.2, output_name="lean", gradient_checkpointing=True)
    assert [e.loss for e in steps_of(iter_training(lean))] == pytest.approx([e.loss for e in plain], rel=1e-5)


def test_cached_text_gives_the_losses_of_live_text(make_config):
    frozen = {"text_encoder_lr": 0.0}
    live = steps_of(iter_training(make_config(**frozen, output_name="live")))
    cached = make_config(**frozen, output_name="cached", cache_text_encoder_outputs=True)
    assert [e.loss for e in steps_of(iter_training(cached))] == pytest.approx(
        [e.loss for e in live], rel=1e-5
    )


@pytest.mark.parametrize("precision", ["bf16", "fp16"])
def test_half_precision_stays_near_full_precision(make_config, precision):
    full = steps_of(iter_training(make_config(output_name="full")))
    half = steps_of(
        iter_training(make_config(output_name="half", mixed_precision=precision, no_half_vae=True))
    )
    assert [e.loss for e in half] == pytest.approx([e.loss for e in full], rel=0.05)


def test_8bit_adam_trains_and_resumes(make_config):
    config = make_config(optimizer_type="AdamW8bit", network_dim=32, max_train_steps=3)
    assert len(steps_of(iter_training(config))) == 3
    longer = config.with_changes(resume="latest", max_train_steps=5)
    assert [e.step for e in steps_of(iter_training(longer))] == [4, 5]


def test_closing_the_generator_saves_what_was_trained(make_config, tmp_path):
    training = iter_training(make_config())
    while not isinstance(next(training), StepDone):
        pass
    training.close()
    assert (tmp_path / "out" / "tiny.safetensors").exists()
    assert (tmp_path / "out" / "tiny-state" / "state.json").exists()


def test_a_breakdown_ends_the_run_before_it_spoils_the_weights(make_config, tmp_path):
    config = make_config(unet_lr=100.0, max_train_steps=30, max_grad_norm=0.0, weight_decay=0.0)
    with pytest.raises(TrainingError, match="Lower `unet_lr`"):
        list(iter_training(config))
    kept = load_file(tmp_path / "out" / "tiny.safetensors")
    assert all(tensor.isfinite().all() for tensor in kept.values())


def test_a_base_model_without_numbers_is_no_fault_of_the_rates(make_config, tiny_sd15, tmp_path):
    folder = shutil.copytree(tiny_sd15, tmp_path / "model")
    file = folder / "unet" / "diffusion_pytorch_model.safetensors"
    tensors = load_file(file)
    save_file(tensors | {"conv_out.bias": tensors["conv_out.bias"] * torch.nan}, file)
    config = make_config(pretrained_model_name_or_path=str(folder))
    with pytest.raises(TrainingError, match=r"first step, before anything .* weights are damaged: download"):
        list(iter_training(config))


def test_a_picture_that_vanishes_ends_the_run_with_everything_saved(make_config, tiny_dataset, tmp_path):
    config, seen = make_config(cache_latents=False, max_train_steps=8), []
    with pytest.raises(DatasetError, match=r"thing_\d\.png"):
        for event in iter_training(config):
            seen.append(event)
            if isinstance(event, StepDone):
                for picture in tiny_dataset.rglob("*.png"):
                    picture.unlink(missing_ok=True)
    assert isinstance(seen[-1], Saved)
    assert (tmp_path / "out" / "tiny-state" / "state.json").exists()


@pytest.fixture(scope="module")
def quick_family(tiny_sd15):  # noqa: C901 - a stand-in of many small methods
    """The tiny model, loaded once; its denoiser answers at once, with a gradient for the adapter."""
    from types import SimpleNamespace

    from lora_widgets.families.sd15 import SD15

    wanted = settings_for(tiny_sd15)
    family = open_family(wanted)
    family.text.load("cpu", torch.float32)
    family.load_denoiser("cpu", torch.float32)
    first = next(m for m in family.unet.modules() if type(m).__name__ == "Transformer2DModel")
    layer = first.transformer_blocks[0].attn1.to_q

    class Ready:
        def load(self, device, dtype): ...
        def unload(self): ...
        def origin(self, dtype): ...

        def encode(self, pixels, *, generator):
            return pixels[:, :1, ::8, ::8].expand(-1, 4, -1, -1)

    class Quick(SD15):
        def __init__(self):
            self.__dict__.update(family.__dict__)
            self.vae = self.text = Ready()

        def load_denoiser(self, device, dtype): ...

        def encode_text(self, captions, *, skip):
            return SimpleNamespace(hidden=None)

        def predict(self, noisy, times, text, sizes):
            return noisy + layer(noisy.new_zeros(1, layer.in_features)).sum() * 0

    return Quick()


@given(
    images=st.lists(
        st.tuples(st.integers(64, 200), st.integers(64, 200), st.integers(1, 3)), min_size=1, max_size=7
    ),
    batch=st.integers(1, 5),
    accumulation=st.integers(1, 4),
    epochs=st.integers(1, 3),
    max_steps=st.sampled_from([0, 0, 1, 5, 9]),
    partial=st.sampled_from(list(PARTIAL_BATCHES)),
    regular=st.integers(0, 2),
)
def test_steps_shown_are_steps_run(
    tmp_path_factory, quick_family, images, batch, accumulation, epochs, max_steps, partial, regular
):
    root = tmp_path_factory.mktemp("shown")
    for number, (width, height, repeats) in enumerate(images):
        folder = root / "pictures" / f"{repeats}_thing"
        folder.mkdir(parents=True, exist_ok=True)
        Image.new("RGB", (width, height), (number, 0, 0)).save(folder / f"{number}.png")
    for number in range(regular):
        folder = root / "regular" / "1_thing"
        folder.mkdir(parents=True, exist_ok=True)
        Image.new("RGB", (90, 70 + 60 * number), (0, number, 0)).save(folder / f"{number}.png")
    config = TrainingConfig(
        project_name="shown",
        model_type="SD1.5",
        pretrained_model_name_or_path="quick/family",
        train_data_dir=str(root / "pictures"),
        output_dir=str(root / "out"),
        resolution=128,
        min_bucket_reso=64,
        max_bucket_reso=256,
        reg_data_dir=str(root / "regular") if regular else None,
        train_batch_size=batch,
        partial_batches=partial,
        gradient_accumulation_steps=accumulation,
        max_train_epochs=epochs,
        max_train_steps=max_steps,
        network_dim=1,
        optimizer_type="AdamW",
        mixed_precision="no",
        lr_warmup_ratio=0.0,
        text_encoder_lr=0.0,
        shuffle_caption=False,
        save_every_n_epochs=0,
        gradient_checkpointing=False,
        flip_aug=random.Random(len(images)).random() < 0.5,
    )
    shown = check(config, Facts(dataset=facts_for(config).facts)).steps
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(plan, "open_family", lambda _: quick_family)
        events = list(iter_training(config))
    done = steps_of(events)
    assert [e.step for e in done] == list(range(1, shown.total_steps + 1))
    assert next(e for e in events if isinstance(e, Started)).total_steps == shown.total_steps
    assert done[-1].epoch == shown.epochs
    assert isinstance(events[-1], Finished)
    whole_epochs = [e for e in done if e.epoch < shown.epochs or not max_steps]
    assert sum(e.images for e in whole_epochs) % shown.images == 0


def test_every_save_is_complete_under_its_final_name(make_config, tmp_path):
    for event in iter_training(make_config(save_every_n_steps=1)):
        if isinstance(event, Saved):
            assert not list((tmp_path / "out").glob(".*part"))


@pytest.mark.parametrize("optimizer", ["AdamW", "Prodigy", "Adafactor"])
def test_updates_whose_every_module_is_dropped_change_nothing(make_config, optimizer):
    """With one module in ten thousand left, no micro-step has anything to learn from."""
    config = make_config(
        module_dropout=0.9999,
        optimizer_type=optimizer,
        unet_lr=1.0,
        text_encoder_lr=1.0,
        gradient_accumulation_steps=2,
        max_train_steps=2,
    )
    events = list(iter_training(config))
    assert [event.grad_norm for event in steps_of(events)] == [0, 0]
    (path,) = (event.path for event in events if isinstance(event, Saved) and event.kind == "weights")
    saved = load_file(path)
    assert all(tensor.abs().max() == 0 for name, tensor in saved.items() if "lora_up" in name)
