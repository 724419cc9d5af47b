"""Rules about what a model family asks for."""

from lora_widgets.config.rules.rule import Advice, Severity, Situation, change, rule
from lora_widgets.config.setup import DEMO


@rule(Severity.ERROR, "model_type", "pretrained_model_name_or_path")
def demo_of_another_family(now: Situation) -> Advice | None:
    """The model of the package is a small SD1.5."""
    config = now.config
    if config.pretrained_model_name_or_path != DEMO or config.model_type == "SD1.5":
        return None
    return Advice(
        '`pretrained_model_name_or_path` is "demo", a small SD1.5 model, but `model_type` is '
        f"{config.model_type}.",
        f"Set `model_type` to SD1.5, or choose a base model that is {config.model_type}.",
        change(model_type="SD1.5"),
    )


@rule(Severity.WARNING, "no_half_vae", "mixed_precision", "model_type")
def half_vae_of_sdxl(now: Situation) -> Advice | None:
    """The original VAE of SDXL has values beyond the range of fp16."""
    config = now.config
    if config.model_type != "SDXL" or config.mixed_precision != "fp16":
        return None
    if config.no_half_vae or config.vae_path:
        return None
    return Advice(
        "`mixed_precision` is fp16, in which the original VAE of SDXL overflows: pictures have to be encoded "
        "again in full precision.",
        "Turn `no_half_vae` on, or set `vae_path` to a VAE made for fp16.",
        change(no_half_vae=True),
    )
