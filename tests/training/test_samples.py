"""Samples are what diffusers draws from the saved file."""

from pathlib import Path
from types import SimpleNamespace

import pytest
import torch
from diffusers import FluxPipeline, StableDiffusionPipeline, StableDiffusionXLPipeline
from diffusers.loaders.lora_conversion_utils import _convert_kohya_flux_lora_to_diffusers
from known_faults import no_lora_for_clip

from lora_widgets.adapters.attach import attach
from lora_widgets.adapters.keys import read_lora_file
from lora_widgets.catalog.samplers import SAMPLERS
from lora_widgets.config.prompts import Prompt
from lora_widgets.demo.config import demo_config
from lora_widgets.demo.paths import DEMO, model_folder
from lora_widgets.diffusion.ddpm import DiscreteProcess, scaled_linear_betas, zero_terminal
from lora_widgets.errors import ConfigError
from lora_widgets.families.family import open_family
from lora_widgets.training.control import Control
from lora_widgets.training.precision import precision_of
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
    for load in (family.vae.load, family.text.load, family.load_denoiser):
        load("cpu", torch.float32)
    adapter = attach(family, config, generator=generator_for(0, "adapter"))
    adapter.load_tensors(read_lora_file(file)[0], source=str(file))
    text = LiveText(family, precision, skip=1, trains=False)
    studio = Studio(
        family, adapter, precision, text.one, (prompt,), prompt.sampler, 0, Path(), "x", Control()
    )
    adapter.mode(training=False)
    with torch.no_grad():
        latents = studio._sample(prompt, torch.Generator().manual_seed(SEED))
        return family.vae.decode(latents)[0] / 2 + 0.5, family


def theirs(config, file, prompt, process, *, lora):
    """Draw with diffusers' pipeline; ``lora`` says whether it loads the file, or adds it to the weights."""
    folder = config.pretrained_model_name_or_path
    pipeline = PIPELINES[config.model_type].from_pretrained(
        model_folder() if folder == DEMO else folder, torch_dtype=torch.float32
    )
    pipeline.set_progress_bar_config(disable=True)
    pipeline.scheduler = new_scheduler(prompt.sampler, process)
    if lora:
        pipeline.load_lora_weights(str(file.parent), weight_name=file.name)
    if lora == "fused":
        pipeline.fuse_lora()
    shape = (
        1,
        pipeline.unet.config.in_channels,
        prompt.height // pipeline.vae_scale_factor,
        prompt.width // pipeline.vae_scale_factor,
    )
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


def theirs_of_flux(config, file, prompt, *, lora):
    """Draw with diffusers' pipeline of Flux; the negative prompt is followed by running the model twice."""
    pipeline = FluxPipeline.from_pretrained(config.pretrained_model_name_or_path)
    pipeline.set_progress_bar_config(disable=True)
    if lora:
        pipeline.load_lora_weights(in_diffusers_names(read_lora_file(file)[0]))
    shape = (1, 16, prompt.height // 8, prompt.width // 8)
    noise = torch.randn(shape, generator=torch.Generator().manual_seed(SEED))
    return pipeline(
        prompt.text,
        negative_prompt=prompt.negative,
        num_inference_steps=prompt.steps,
        guidance_scale=prompt.guidance,
        true_cfg_scale=prompt.scale,
        height=prompt.height,
        width=prompt.width,
        latents=FluxPipeline._pack_latents(noise, *shape),
        max_sequence_length=config.t5xxl_max_token_length,
        output_type="pt",
    ).images[0]


def in_diffusers_names(tensors):
    """Convert as diffusers does, but for ``linear1``: it knows the width of the real model only."""
    stacked = {name: tensor for name, tensor in tensors.items() if "_linear1." in name}
    found = _convert_kohya_flux_lora_to_diffusers({k: t for k, t in tensors.items() if k not in stacked})
    for key in [key for key in stacked if key.endswith("lora_down.weight")]:
        name = key.removesuffix(".lora_down.weight")
        down, up = stacked[key], stacked[f"{name}.lora_up.weight"]
        scale, width = stacked[f"{name}.alpha"] / len(down), len(up) // 7
        block = f"transformer.single_transformer_blocks.{name.split('_')[4]}"
        parts = ("attn.to_q", "attn.to_k", "attn.to_v", "proj_mlp")
        for part, rows in zip(parts, up.split([width, width, width, 4 * width]), strict=True):
            found |= {
                f"{block}.{part}.lora_A.weight": down * scale,
                f"{block}.{part}.lora_B.weight": rows.contiguous(),
            }
    return found


@no_lora_for_clip
@pytest.mark.parametrize("scale", [1.0, 2.0])
@pytest.mark.filterwarnings("ignore")
def test_diffusers_draws_the_same_picture_of_flux_from_the_saved_file(config_of, scale):
    config = config_of("Flux", resolution=128, max_bucket_reso=128, t5xxl_max_token_length=32)
    file = strong(config)
    prompt = Prompt("a thing, red dot", 96, 64, negative="blue", steps=8, scale=scale, guidance=2.0)
    picture, _ = ours(config, file, prompt)
    with_lora = theirs_of_flux(config, file, prompt, lora=True)
    without = theirs_of_flux(config, file, prompt, lora=False)
    assert (picture - with_lora).abs().max() < 1e-3
    assert (picture - without).abs().max() > 1e-2


@no_lora_for_clip
@pytest.mark.parametrize("family", PIPELINES)
@pytest.mark.filterwarnings("ignore")  # diffusers and peft warn about their own futures while loading
def test_diffusers_draws_the_same_picture_from_the_saved_file(config_of, family):
    config = config_of(family)
    file = strong(config)
    prompt = Prompt("a thing, red dot", 64, 64, negative="blue", steps=8, scale=2.0, sampler="euler")
    picture, family = ours(config, file, prompt)
    with_lora = theirs(config, file, prompt, family.process, lora=True)
    without = theirs(config, file, prompt, family.process, lora=False)
    assert (picture - with_lora).abs().max() < 1e-3
    assert (picture - without).abs().max() > 1e-2


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore")
def test_a_trained_model_draws_what_diffusers_draws_as_closely_as_diffusers_draws_it_twice(tmp_path):
    config = demo_config(output_dir=str(tmp_path / "demo"), max_train_steps=120, sample_every_n_steps=0)
    list(iter_training(config))
    file = Path(config.output_dir) / f"{config.file_stem}.safetensors"
    text = "a big zibbo creature in the middle, white background"
    prompt = Prompt(text, 64, 64, negative="star", steps=20, scale=3.0, sampler="ddim")
    picture, family = ours(config, file, prompt)
    loaded, fused = (theirs(config, file, prompt, family.process, lora=how) for how in (True, "fused"))
    without = theirs(config, file, prompt, family.process, lora=False)
    between = (loaded - fused).abs().max().item()
    assert (picture.clamp(0, 1) - loaded).abs().max() <= max(between, 1e-5)
    assert (loaded - without).abs().max() > 0.1


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
        vae = SimpleNamespace(latent_factor=8)

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


def test_samples_without_prompts_are_refused_before_loading(make_config):
    with pytest.raises(ConfigError, match="sample_prompts"):
        list(iter_training(make_config(sample_every_n_steps=1)))
