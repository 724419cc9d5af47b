"""Samples are what diffusers draws from the saved file; prompts are read as the reference reads them."""

import json
from pathlib import Path

import pytest
import torch
from diffusers import StableDiffusionPipeline, StableDiffusionXLPipeline
from known_faults import no_lora_for_clip

from lora_widgets.adapters.attach import attach
from lora_widgets.adapters.keys import read_lora_file
from lora_widgets.catalog.samplers import SAMPLERS
from lora_widgets.diffusion.ddpm import DiscreteProcess, scaled_linear_betas, zero_terminal
from lora_widgets.errors import ConfigError
from lora_widgets.families.family import open_family
from lora_widgets.training.control import Control
from lora_widgets.training.precision import precision_of
from lora_widgets.training.prompts import Prompt, parse_line, read_prompts
from lora_widgets.training.randomness import generator_for
from lora_widgets.training.samples import Guidance, Studio, new_scheduler, sample_latents
from lora_widgets.training.start import iter_training
from lora_widgets.training.text import LiveText

SEED = 5
PIPELINES = {"SD1.5": StableDiffusionPipeline, "SDXL": StableDiffusionXLPipeline}


def strong(config):
    """Train briefly at a rate that changes the picture visibly."""
    list(iter_training(config.with_changes(unet_lr=0.02, text_encoder_lr=0.02, max_train_steps=3)))
    return Path(config.output_dir) / f"{config.file_stem}.safetensors"


def ours(config, file, prompt):
    """Draw with our family, adapter and sampler; returns pixels (3, H, W) in [0, 1]."""
    family, precision = open_family(config), precision_of("no")
    for load in (family.load_vae, family.load_text_encoder, family.load_denoiser):
        load("cpu", torch.float32)
    adapter = attach(family, config, generator=generator_for(0, "adapter"))
    adapter.load_tensors(read_lora_file(file)[0], source=str(file))
    text = LiveText(family, precision, skip=1, trains=False)
    studio = Studio(family, adapter, precision, text.one, (prompt,), "euler", 0, Path(), "x", Control())
    adapter.mode(training=False)
    with torch.no_grad():
        latents = studio._sample(prompt, torch.Generator().manual_seed(SEED))
        return family.decode(latents)[0] / 2 + 0.5, family


def theirs(config, file, prompt, process, *, lora):
    """Draw with diffusers' pipeline; ``lora`` says whether it loads the file."""
    folder = config.pretrained_model_name_or_path
    pipeline = PIPELINES[config.model_type].from_pretrained(folder)
    pipeline.set_progress_bar_config(disable=True)
    pipeline.scheduler = new_scheduler("euler", process)
    if lora:
        pipeline.load_lora_weights(str(file.parent), weight_name=file.name)
    shape = (1, 4, prompt.height // pipeline.vae_scale_factor, prompt.width // pipeline.vae_scale_factor)
    return pipeline(
        prompt.text,
        negative_prompt=prompt.negative,
        num_inference_steps=prompt.steps,
        guidance_scale=prompt.scale,
        height=prompt.height,
        width=prompt.width,
        latents=torch.randn(shape, generator=torch.Generator().manual_seed(SEED)),
        output_type="pt",
    ).images[0]


@no_lora_for_clip
@pytest.mark.parametrize("family", PIPELINES)
@pytest.mark.filterwarnings("ignore")  # diffusers and peft warn about their own futures while loading
def test_diffusers_draws_the_same_picture_from_the_saved_file(config_of, family):
    config = config_of(family)
    file = strong(config)
    prompt = Prompt("a thing, red dot", 64, 64, negative="blue", steps=8, scale=2.0)
    picture, family = ours(config, file, prompt)
    with_lora = theirs(config, file, prompt, family.process, lora=True)
    without = theirs(config, file, prompt, family.process, lora=False)
    assert (picture - with_lora).abs().max() < 1e-3
    assert (picture - without).abs().max() > 1e-2


@pytest.mark.filterwarnings("ignore")  # diffusers corrects a combination of its own defaults aloud
@pytest.mark.parametrize("name", [name for name, row in SAMPLERS.items() if not row.package])
def test_samplers_start_from_pure_noise_where_training_ends_with_it(name):
    """With a model that always knows the picture, every sampler arrives at it, whatever it started from."""
    betas = scaled_linear_betas(1000, start=0.00085, end=0.012)
    process = DiscreteProcess(zero_terminal(betas), prediction="v_prediction")
    scheduler = new_scheduler(name, process)
    scheduler.set_timesteps(20)
    clean, noise = torch.randn(2, 1, 4, 8, 8, generator=torch.Generator().manual_seed(1))

    class Knowing:
        latent_factor = 8

        def predict(self, noisy, times, text, sizes):
            alpha = process.alphas_cumprod[times.long()]
            return (alpha.sqrt() * noisy - clean) / (1 - alpha).sqrt()

    drawn = sample_latents(
        Knowing(),
        scheduler,
        noise,
        guidance=Guidance(None, None, 1.0),
        generator=torch.Generator().manual_seed(0),
    )
    assert scheduler.timesteps[0] == 999
    assert (drawn - clean).abs().max() < 0.2


GOLDEN = json.loads((Path(__file__).parents[1] / "golden" / "prompt_lines.json").read_text(encoding="utf-8"))


@pytest.mark.parametrize("case", GOLDEN["cases"], ids=lambda case: case["line"][:40])
def test_prompt_lines_mean_what_they_mean_to_the_reference(case):
    prompt = parse_line(case["line"], Prompt("", 512, 512))
    for name, value in case["expected"].items():
        assert getattr(prompt, name) == value


def test_a_prompt_that_looks_like_an_option_stays_a_prompt():
    prompt = parse_line("w 512 high tower --h 128", Prompt("", 64, 64))
    assert (prompt.text, prompt.width, prompt.height) == ("w 512 high tower", 64, 128)


def test_prompts_come_from_lines_or_a_file(tmp_path):
    file = tmp_path / "prompts.txt"
    file.write_text("# mine\n\na cat --w 128\na dog\n", encoding="utf-8")
    assert [p.text for p in read_prompts(str(file), size=(64, 64))] == ["a cat", "a dog"]
    assert [p.text for p in read_prompts("a cat\n# no\na dog", size=(64, 64))] == ["a cat", "a dog"]


def test_a_missing_prompt_file_and_other_formats_are_named(tmp_path):
    with pytest.raises(ConfigError, match=r"`sample_prompts` is .*gone\.txt.*cannot be read"):
        read_prompts(str(tmp_path / "gone.txt"), size=(64, 64))
    with pytest.raises(ConfigError, match=r"prompts\.toml.*reads \.txt files"):
        read_prompts("prompts.toml", size=(64, 64))
    (tmp_path / "latin.txt").write_bytes("é".encode("latin-1"))
    with pytest.raises(ConfigError, match="not UTF-8"):
        read_prompts(str(tmp_path / "latin.txt"), size=(64, 64))


def test_samples_without_prompts_are_refused_before_loading(make_config):
    with pytest.raises(ConfigError, match="sample_prompts"):
        list(iter_training(make_config(sample_every_n_steps=1)))
