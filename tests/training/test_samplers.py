"""Every sampler draws what the plain diffusers pipeline draws with its scheduler, and leaves chance alone."""

from importlib import import_module
from importlib.util import find_spec

import pytest
import torch
from diffusers import StableDiffusionPipeline, StableDiffusionXLPipeline

from lora_widgets.catalog.samplers import SAMPLERS
from lora_widgets.config.training_config import TrainingConfig
from lora_widgets.families.family import open_family
from lora_widgets.training.samples import Guidance, new_scheduler, sample_latents

SEED, SCALE, STEPS = 5, 2.0, 6
PIPELINES = {"SD1.5": StableDiffusionPipeline, "SDXL": StableDiffusionXLPipeline}
FOLDERS = {"SD1.5": "tiny_sd15", "SDXL": "tiny_sdxl"}
TRAINED_WITH = {"beta_start": 0.00085, "beta_end": 0.012, "beta_schedule": "scaled_linear"}
QUICK = ("ddim", "euler", "euler_a", "dpmsolver++")
# diffusers with numpy 2; scipy's integration in lms; diffusers corrects a combination of its own defaults
pytestmark = pytest.mark.filterwarnings("ignore")


@pytest.fixture(scope="module", params=PIPELINES)
def opened(request):
    """Return a family with every part loaded, and diffusers' pipeline of the same model."""
    folder = request.getfixturevalue(FOLDERS[request.param])
    config = TrainingConfig(
        project_name="x",
        model_type=request.param,
        pretrained_model_name_or_path=str(folder),
        train_data_dir="pictures",
        output_dir="out",
    )
    family = open_family(config)
    for load in (family.vae.load, family.text.load, family.load_denoiser):
        load("cpu", torch.float32)
    pipeline = PIPELINES[request.param].from_pretrained(folder)
    pipeline.set_progress_bar_config(disable=True)
    return family, pipeline


def start():
    """Return noise, and the generator that goes on after it."""
    generator = torch.Generator().manual_seed(SEED)
    return torch.randn(1, 4, 8, 8, generator=generator), generator


def ours(family, name):
    noise, generator = start()
    asked, unasked = (family.encode_text([text], skip=1) for text in ("a red dot", "blue"))
    scheduler = new_scheduler(name, family.process)
    scheduler.set_timesteps(STEPS)
    guidance = Guidance(asked, unasked, SCALE)
    with torch.no_grad():
        latents = sample_latents(family, scheduler, noise, guidance=guidance, generator=generator)
        return family.vae.decode(latents)[0] / 2 + 0.5


def theirs(pipeline, name, **schedule):
    row = SAMPLERS[name]
    module, _, cls = row.import_path.rpartition(".")
    pipeline.scheduler = getattr(import_module(module), cls)(**TRAINED_WITH, **schedule, **row.arguments)
    noise, generator = start()
    side = 8 * pipeline.vae_scale_factor
    return pipeline(
        "a red dot",
        negative_prompt="blue",
        num_inference_steps=STEPS,
        guidance_scale=SCALE,
        height=side,
        width=side,
        latents=noise,
        generator=generator,
        output_type="pt",
    ).images[0]


def different_samplers():
    """Give each scheduler with its arguments once: some have two names."""
    seen = {}
    for name, row in SAMPLERS.items():
        seen.setdefault((row.import_path, repr(row.arguments)), name)
    return [
        pytest.param(name, marks=() if name in QUICK else pytest.mark.slow, id=name) for name in seen.values()
    ]


@pytest.mark.parametrize("name", different_samplers())
def test_a_sampler_draws_what_diffusers_draws(opened, name):
    package = SAMPLERS[name].package
    if package and find_spec(package) is None:
        pytest.skip(f"{package} is not installed")
    family, pipeline = opened
    before = torch.get_rng_state()
    drawn = ours(family, name)
    assert torch.equal(torch.get_rng_state(), before)
    assert (drawn - theirs(pipeline, name)).abs().max() < 1e-3


def test_samplers_with_two_names_are_the_same_row():
    for name in SAMPLERS:
        if name.startswith("k_"):
            row, plain = SAMPLERS[name], SAMPLERS[name.removeprefix("k_")]
            assert (row.import_path, row.arguments) == (plain.import_path, plain.arguments)


@pytest.mark.parametrize("name", ["ddim", "euler_a"])
def test_a_model_that_predicts_v_is_sampled_so(opened, name):
    family, pipeline = opened
    process = family.process
    process.prediction = "v_prediction"
    try:
        drawn = ours(family, name)
    finally:
        process.prediction = "epsilon"
    assert (drawn - theirs(pipeline, name, prediction_type="v_prediction")).abs().max() < 1e-3
    assert (drawn - theirs(pipeline, name)).abs().max() > 1e-2
