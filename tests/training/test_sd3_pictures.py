"""SD3 draws what the plain diffusers pipeline draws with the same LoRA, loaded under PEFT's names."""

import pytest
import torch
from diffusers import StableDiffusion3Pipeline
from tiny import settings_for

from lora_widgets.adapters.attach import attach
from lora_widgets.config.prompts import Prompt
from lora_widgets.families.family import open_family
from lora_widgets.training.samples import Guidance, latent_shape, ready_scheduler, sample_latents

PROMPT = Prompt("a red dot", width=96, height=64, negative="blue", steps=8, scale=2.0)
ROOTS = {"unet": "transformer", "text_encoder_1": "text_encoder", "text_encoder_2": "text_encoder_2"}
# diffusers with numpy 2
pytestmark = pytest.mark.filterwarnings("ignore")


@pytest.fixture(params=["tiny_sd3", "tiny_sd35"])
def folder(request):
    return request.getfixturevalue(request.param)


@pytest.fixture
def family(folder):
    """Return SD3 or SD3.5 with every part loaded."""
    opened = open_family(settings_for(folder, t5xxl_max_token_length=None))
    for load in (opened.vae.load, opened.text.load, opened.load_denoiser):
        load("cpu", torch.float32)
    return opened


@pytest.fixture
def adapter(family, folder):
    """Return an adapter of all that can learn, with random weights."""
    found = attach(family, settings_for(folder), generator=torch.Generator().manual_seed(1))
    generator = torch.Generator().manual_seed(2)
    with torch.no_grad():
        for parameter in (p for group in found.parameters_of().values() for p in group):
            parameter.copy_(torch.randn(parameter.shape, generator=generator) * 0.05)
    return found


def noise(family):
    return torch.randn(latent_shape(PROMPT, family), generator=torch.Generator().manual_seed(5))


def ours(family):
    scheduler = ready_scheduler(PROMPT, family, default="euler")
    with torch.no_grad():
        asked, unasked = (family.encode_text([text], skip=1) for text in (PROMPT.text, PROMPT.negative))
        latents = sample_latents(
            family,
            scheduler,
            noise(family),
            guidance=Guidance(asked, unasked, PROMPT.scale),
            generator=torch.Generator(),
        )
        return family.vae.decode(latents)[0] / 2 + 0.5


def in_names_of_peft(family, adapter):
    """Return the adapter's weights with a name for each layer, alpha and the order of rows worked in."""
    paths = {
        module: f"{ROOTS[component]}.{path}"
        for component, root in family.roots().items()
        for path, module in root.module.named_modules()
    }
    found = {}
    for module in (one for group in adapter._modules.values() for one in group):
        for place in module._places:
            path = paths[place.member.module]
            found[f"{path}.lora_A.weight"] = module.maths.lora_down.detach().clone()
            rows = place.member.own(module.maths.lora_up.detach())
            found[f"{path}.lora_B.weight"] = rows * module.maths.scale
    return found


def test_the_picture_is_that_of_diffusers_with_the_same_lora(family, adapter, folder):
    pipeline = StableDiffusion3Pipeline.from_pretrained(folder)
    pipeline.set_progress_bar_config(disable=True)

    def theirs():
        return pipeline(
            PROMPT.text,
            negative_prompt=PROMPT.negative,
            num_inference_steps=PROMPT.steps,
            guidance_scale=PROMPT.scale,
            width=PROMPT.width,
            height=PROMPT.height,
            latents=noise(family),
            output_type="pt",
        ).images[0]

    with adapter.disabled():
        plain = ours(family)
    assert (plain - theirs()).abs().max() < 1e-3
    pipeline.load_lora_weights(in_names_of_peft(family, adapter))
    drawn = ours(family)
    assert (drawn - theirs()).abs().max() < 1e-3
    assert (drawn - plain).abs().max() > 1e-2
