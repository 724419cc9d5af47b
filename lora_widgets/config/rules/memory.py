"""Rules about precision and hardware."""

from lora_widgets.config.rules.rule import Advice, Severity, Situation, change, rule
from lora_widgets.config.setup import DEMO


@rule(Severity.ERROR, "mixed_precision")
def bf16_without_support(now: Situation) -> Advice | None:
    """Older GPUs cannot compute in bf16."""
    if not (now.config.mixed_precision == "bf16" and now.facts.cuda and now.facts.bf16 is False):
        return None
    return Advice(
        "`mixed_precision` is bf16, but this GPU cannot compute in bf16.",
        "Set it to fp16.",
        change(mixed_precision="fp16"),
    )


@rule(Severity.WARNING, "mixed_precision")
def fp16_on_cpu(now: Situation) -> Advice | None:
    """Processors have no fast half precision, and gradients are not scaled there."""
    if not (now.config.mixed_precision == "fp16" and now.facts.cuda is False):
        return None
    return Advice(
        "`mixed_precision` is fp16, but there is no GPU: half precision is slow on a processor.",
        'Set it to "no".',
        change(mixed_precision="no"),
    )


@rule(Severity.WARNING, "pretrained_model_name_or_path")
def no_gpu(now: Situation) -> Advice | None:
    """A full-size model takes minutes per step on a processor."""
    if now.facts.cuda is not False or now.config.pretrained_model_name_or_path == DEMO:
        return None
    return Advice(
        "There is no GPU: a model of full size takes minutes for each step on the processor.",
        'Use a machine with a GPU, or the base model "demo".',
    )


@rule(Severity.NOTE, "no_half_vae", "mixed_precision")
def full_vae_in_full_precision(now: Situation) -> Advice | None:
    """In full precision there is no half VAE to avoid."""
    if not (now.config.no_half_vae and now.config.mixed_precision == "no"):
        return None
    return Advice(
        "`no_half_vae` has no effect: with `mixed_precision` no, the VAE runs in full precision anyway."
    )
