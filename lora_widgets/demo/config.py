"""The ready configuration: a LoRA of the demo's new subject in about a minute on two cores."""

from pathlib import Path

from lora_widgets.config.training_config import TrainingConfig
from lora_widgets.demo.paths import DEMO

SAMPLE_PROMPTS = """\
a big zibbo creature in the middle, white background --l 3 --s 20 --d 1
a big zibbo creature on the left, navy background --l 3 --s 20 --d 2
a big zibbo creature at the bottom, peach background --l 3 --s 20 --d 3
a big red star in the middle, sky background --l 3 --s 20 --d 4
"""
"""Three pictures of the new subject, and one that should stay as it was."""


def demo_config(**changes: object) -> TrainingConfig:
    """Return the demo's configuration with ``changes`` applied.

    The results go to ``./lora-widgets-demo``, or the next free number, unless ``output_dir`` is given.

    Raises:
        ConfigError: a change names no setting, or its value cannot work.
    """
    ready = TrainingConfig(
        project_name="zibbo",
        model_type="SD1.5",
        pretrained_model_name_or_path=DEMO,
        train_data_dir=DEMO,
        output_dir=str(changes.get("output_dir") or free_folder(Path("lora-widgets-demo"))),
        resolution=64,
        min_bucket_reso=64,
        max_bucket_reso=64,
        train_batch_size=4,
        max_train_steps=240,
        unet_lr=5e-4,
        text_encoder_lr=1e-3,
        network_dim=16,
        network_alpha=16,
        optimizer_type="AdamW",
        clip_skip=1,
        min_snr_gamma_enabled=False,
        mixed_precision="no",
        save_precision="float",
        gradient_checkpointing=False,
        cache_latents=True,
        shuffle_caption=False,
        save_every_n_epochs=0,
        sample_every_n_steps=80,
        sample_prompts=SAMPLE_PROMPTS,
        sample_sampler="euler",
    )
    return ready.with_changes(**changes)


def free_folder(wanted: Path) -> Path:
    """Return ``wanted``, or its next number that does not exist yet: ``name``, ``name-2``, ``name-3`` ..."""
    number, folder = 1, wanted
    while folder.exists():
        number += 1
        folder = wanted.with_name(f"{wanted.name}-{number}")
    return folder
