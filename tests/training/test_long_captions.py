"""Words beyond the first 75 tokens are learned and drawn where `max_token_length` has room for them."""

from pathlib import Path

import torch
from runs import losses, run
from safetensors import safe_open

from lora_widgets.adapters.attach import attach
from lora_widgets.config.prompts import Prompt
from lora_widgets.events import SampleReady
from lora_widgets.families.family import open_family
from lora_widgets.training.control import Control
from lora_widgets.training.plan import make_plan
from lora_widgets.training.precision import precision_of
from lora_widgets.training.randomness import generator_for
from lora_widgets.training.samples import Studio
from lora_widgets.training.text import LiveText

FILL = ", " * 80


def test_the_end_of_long_captions_acts_on_the_loss_only_where_there_is_room(make_config):
    def loss_with(word, max_tokens):
        end = {"caption_suffix": FILL + word, "max_token_length": max_tokens}
        return losses(run(make_config(**end, max_train_steps=1, output_name=f"{word}-{max_tokens}")))

    assert loss_with("cat", 75) == loss_with("tree", 75)
    assert loss_with("cat", 150) != loss_with("tree", 150)


def test_a_run_with_long_captions_trains_the_text_encoder_and_draws_prompts_of_any_length(
    make_config, tmp_path
):
    config = make_config(
        caption_suffix=FILL + "cat",
        max_token_length=150,
        text_encoder_lr=1e-3,
        gradient_checkpointing=True,
        sample_prompts=f"thing --s 2 --n {FILL}blue\n{FILL}thing --s 2",
        sample_every_n_steps=2,
        max_train_steps=2,
    )
    drawn = [event for event in run(config) if isinstance(event, SampleReady)]
    assert {event.index for event in drawn} == {0, 1}
    with safe_open(tmp_path / "out" / "tiny.safetensors", "pt") as file:
        assert file.metadata()["ss_max_token_length"] == "150"
        ups = [name for name in file.keys() if "lora_te" in name and "lora_up" in name]  # noqa: SIM118
        assert ups
        assert all(file.get_tensor(name).abs().max() > 0 for name in ups)


def test_what_of_a_prompt_is_not_drawn_is_told_before_anything_is_loaded(make_config):
    prompts = f"thing --n {FILL}blue\n{FILL}thing\n{FILL}thing --s 2"
    short, long = (
        make_plan(make_config(max_token_length=limit, sample_prompts=prompts, sample_every_n_steps=2))
        for limit in (75, 150)
    )
    said = [warning for warning in short.warnings if "`sample_prompts`" in warning]
    assert len(said) == 2
    assert all("tokens, and what is beyond 75 is not drawn. Raise `max_token_length`" in one for one in said)
    assert not any("`sample_prompts`" in warning for warning in long.warnings)


def test_prompts_are_read_as_far_as_captions_are(make_config):
    def latents(max_tokens, negative):
        config = make_config(max_token_length=max_tokens)
        family, precision = open_family(config), precision_of("no")
        family.text.load("cpu", torch.float32)
        family.load_denoiser("cpu", torch.float32)
        adapter = attach(family, config, generator=generator_for(0, "adapter"))
        text = LiveText(family, precision, skip=1, trains=False)
        prompt = Prompt("thing", 64, 64, negative=negative, steps=1)
        studio = Studio(family, adapter, precision, text.one, (prompt,), "euler", 0, Path(), "x", Control())
        with torch.no_grad():
            return studio._sample(prompt, torch.Generator().manual_seed(1))

    assert torch.equal(latents(75, FILL + "cat"), latents(75, FILL + "tree"))
    assert not torch.equal(latents(150, FILL + "cat"), latents(150, FILL + "tree"))
