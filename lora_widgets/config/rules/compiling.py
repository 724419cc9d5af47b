"""Rules about compiled blocks."""

from lora_widgets.config.memory import TRITON
from lora_widgets.config.rules.rule import Advice, Severity, Situation, change, rule

_WORTH_COMPILING = 500
"""Steps below which a run is hardly ever long enough to win back the minutes that compiling takes."""


@rule(Severity.ERROR, "torch_compile", "module_dropout")
def compiling_modules_that_come_and_go(now: Situation) -> Advice | None:
    """A compiled block does the same at every step."""
    if not (now.config.torch_compile and now.config.module_dropout):
        return None
    return Advice(
        f"`module_dropout` is {now.config.module_dropout:g}, so other layers take part at every step, but "
        "`torch_compile` compiles a block once, for all steps.",
        "Set `module_dropout` to 0 (`network_dropout` and `rank_dropout` can be compiled), or turn "
        "`torch_compile` off.",
        change(torch_compile=False),
        (change(module_dropout=0.0),),
    )


@rule(Severity.ERROR, "torch_compile", "lora_type")
def compiling_dylora(now: Situation) -> Advice | None:
    """A compiled block does the same at every step."""
    if not (now.config.torch_compile and now.config.lora_type == "DyLoRA"):
        return None
    return Advice(
        "DyLoRA trains other ranks at every step, but `torch_compile` compiles a block once, for all steps.",
        "Turn `torch_compile` off, or choose another type.",
        change(torch_compile=False),
    )


@rule(Severity.WARNING, "torch_compile")
def compiling_without_triton(now: Situation) -> Advice | None:
    """What is compiled for a GPU is compiled by triton."""
    if not (now.config.torch_compile and now.facts.cuda and TRITON in now.facts.missing_packages):
        return None
    return Advice(
        "`torch_compile` is on, but the package triton, which compiles for the GPU, is not installed: the "
        "training would go on without.",
        "Install it with: pip install triton (on Windows: pip install triton-windows), or turn "
        "`torch_compile` off.",
        change(torch_compile=False),
    )


@rule(Severity.NOTE, "torch_compile", "max_train_steps", "max_train_epochs")
def compiling_for_few_steps(now: Situation) -> Advice | None:
    """Compiling must pay for itself."""
    if not now.config.torch_compile or now.steps is None or now.steps.total_steps >= _WORTH_COMPILING:
        return None
    return Advice(
        f"`torch_compile` takes minutes at first, and this run has {now.steps.total_steps} steps: it may "
        "take longer than without.",
        "Turn it off, unless a step takes several seconds.",
        change(torch_compile=False),
    )
