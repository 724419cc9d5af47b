"""The estimate of memory: what it counts, and that it moves as memory does."""

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st
from situations import BASE, SD15_SIZE

from lora_widgets.config.facts import DatasetFacts, Facts, PartSize
from lora_widgets.config.memory_estimate import MemoryQuestion, estimate_for
from lora_widgets.config.steps import StepPlan
from lora_widgets.config.training_config import TrainingConfig

PICTURES = DatasetFacts(images=10, bucket_counts=(10,), bucket_sizes=((512, 512),))


def config_of(**changes):
    return TrainingConfig(**{**BASE, "optimizer_type": "AdamW", "text_encoder_lr": 0.0, **changes})


def shares_of(phase="Training", *, on_gpu=False, dataset=PICTURES, **changes):
    estimate = MemoryQuestion(config_of(**changes), SD15_SIZE, dataset, None, on_gpu).answer()
    return dict(next(found for found in estimate.phases if found.name == phase).shares)


def bytes_of(**how):
    return sum(shares_of(**how).values())


def test_weights_count_in_the_format_they_compute_in():
    assert shares_of(mixed_precision="no")["base model"] == 4 * SD15_SIZE.denoiser.numbers
    assert shares_of(mixed_precision="fp16")["base model"] == 2 * SD15_SIZE.denoiser.numbers
    assert shares_of("Encoding pictures", no_half_vae=True)["VAE"] == 4 * SD15_SIZE.vae.numbers


def test_the_adapter_counts_with_gradients_and_state():
    trained = 16 * sum(SD15_SIZE.layers[0].shape)
    shares = shares_of(network_dim=16)
    assert shares["adapter and its gradients"] == 8 * trained
    assert shares["optimizer"] == 8 * trained
    assert shares_of(network_dim=16, optimizer_type="AdamW8bit")["optimizer"] == 2 * trained


def test_what_is_cached_needs_no_model():
    live = shares_of(cache_latents=False)["text encoder and VAE"]
    cached = shares_of(cache_latents=True, cache_text_encoder_outputs=True)["text encoder and VAE"]
    assert live == 2 * (SD15_SIZE.vae.numbers + SD15_SIZE.text_encoder.numbers)
    assert cached == 0


def test_latents_are_kept_in_main_memory():
    latents = 10 * 4 * 64 * 64 * 4
    assert shares_of(cache_latents=True)["cached latents"] == latents
    assert shares_of(cache_latents=True, on_gpu=True)["cached latents"] == 0
    assert shares_of(cache_latents_to_disk=True)["cached latents"] == 0


def test_the_largest_batch_decides():
    two = DatasetFacts(images=5, bucket_counts=(1, 4), bucket_sizes=((1024, 1024), (512, 512)))
    assert (
        shares_of(dataset=two, train_batch_size=2)["activations"]
        == 2 * shares_of(train_batch_size=2)["activations"]
    )
    assert (
        shares_of(dataset=None, train_batch_size=2)["activations"]
        == shares_of(train_batch_size=2)["activations"]
    )


def test_norms_of_cuda_are_kept_in_full_precision():
    half = {"mixed_precision": "fp16", "gradient_checkpointing": False}
    assert shares_of(on_gpu=True, **half)["activations"] > 1.2 * shares_of(**half)["activations"]


def test_samples_are_a_phase_only_where_they_are_drawn():
    names = [phase.name for phase in MemoryQuestion(config_of(), SD15_SIZE, None, None, True).answer().phases]
    assert "Drawing samples" not in names
    assert bytes_of(phase="Drawing samples", sample_every_n_steps=5) > 2 * SD15_SIZE.denoiser.numbers


@given(
    st.integers(1, 8),
    st.sampled_from([256, 512, 1024]),
    st.integers(1, 128),
    st.booleans(),
    st.sampled_from(["no", "fp16"]),
)
def test_more_never_takes_less(batch, side, rank, checkpointing, precision):
    """A larger batch, picture or adapter, or no checkpointing, never lowers the estimate."""
    given_ = {
        "train_batch_size": batch,
        "network_dim": rank,
        "gradient_checkpointing": checkpointing,
        "mixed_precision": precision,
        "resolution": side,
    }
    least = bytes_of(dataset=None, **given_)
    for more in (
        {"train_batch_size": batch + 1},
        {"network_dim": rank + 1},
        {"gradient_checkpointing": False},
        {"mixed_precision": "no"},
        {"resolution": side + 64},
    ):
        assert bytes_of(dataset=None, **(given_ | more)) >= least


@pytest.mark.parametrize(
    ("changes", "weights", "states"),
    [
        ({"save_every_n_epochs": 0}, 1, 2),
        ({"save_every_n_epochs": 1}, 11, 2),
        ({"save_every_n_epochs": 1, "save_last_n_epochs": 3}, 4, 2),
        ({"save_every_n_epochs": 0, "save_every_n_steps": 50, "save_state": True}, 3, 3),
    ],
)
def test_files_on_disk_are_counted(changes, weights, states):
    steps = StepPlan(images=10, batches_per_epoch=10, steps_per_epoch=10, epochs=10, total_steps=100)
    question = MemoryQuestion(config_of(save_precision="fp16", **changes), SD15_SIZE, None, steps, False)
    trained = question.num_trained
    assert question.answer().disk == weights * 2 * trained + states * 12 * trained


def test_an_unknown_model_has_no_estimate():
    assert estimate_for(config_of(), Facts(), None) is None


FLUX_SIZE = replace(
    SD15_SIZE,
    denoiser=PartSize(numbers=100, linear=90, blocks=(10,) * 4, single_blocks=(5,) * 10),
    activations=None,
)


@pytest.mark.parametrize(
    ("changes", "share"),
    [
        ({"blocks_to_swap": 0}, 1),
        ({"blocks_to_swap": 6}, 1 - (3 * 10 + 6 * 5 - 3 * 10) / 100),
        ({"blocks_to_swap": 1}, 1),  # two single blocks are all fetched at once
        ({"blocks_to_swap": 6, "gradient_checkpointing": False}, 1),
    ],
)
def test_swapped_blocks_are_away_but_for_those_at_hand(changes, share):
    config = config_of(model_type="Flux", **changes)
    answer = MemoryQuestion(config, FLUX_SIZE, PICTURES, None, True).answer()
    training = next(dict(phase.shares) for phase in answer.phases if phase.name == "Training")
    assert training["base model"] == pytest.approx(200 * share)


@pytest.mark.parametrize(
    ("on_gpu", "checkpointing", "waits"), [(True, True, 1), (True, False, 0), (False, True, 0)]
)
def test_checkpoints_that_wait_in_main_memory_are_not_counted_on_the_gpu(on_gpu, checkpointing, waits):
    how = {"on_gpu": on_gpu, "gradient_checkpointing": checkpointing, "mixed_precision": "bf16"}
    shares = [shares_of(cpu_offload_checkpointing=offload, **how) for offload in (False, True)]
    activations = [share["activations"] for share in shares]
    positions = 4 * 64 * 64  # of a batch
    checkpoints = sum(unit.kept for unit in SD15_SIZE.activations.units) * 2 * positions
    assert activations[0] - activations[1] == pytest.approx(waits * checkpoints)


def test_on_a_processor_no_block_is_away():
    config = config_of(model_type="Flux", blocks_to_swap=6)
    answer = MemoryQuestion(config, FLUX_SIZE, PICTURES, None, False).answer()
    assert dict(answer.phases[2].shares)["base model"] == 200


def test_t5_leaves_where_its_captions_are_cached_and_clip_trains():
    flux = replace(SD15_SIZE, text_encoder=PartSize(numbers=1000, t5=900))
    config = config_of(model_type="Flux", text_encoder_lr=1e-4, cache_text_encoder_outputs=True)

    def share(config):
        estimate = MemoryQuestion(config, flux, PICTURES, None, False).answer()
        return dict(next(found for found in estimate.phases if found.name == "Encoding pictures").shares)

    number = 2 if config.mixed_precision != "no" else 4
    assert share(config)["text encoder"] == number * 100
    assert share(config.with_changes(cache_text_encoder_outputs=False))["text encoder"] == number * 1000
    assert share(config.with_changes(text_encoder_lr=0.0))["text encoder"] == 0
