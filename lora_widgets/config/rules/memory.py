"""Rules about precision and hardware."""

from collections.abc import Iterator

from lora_widgets.catalog.base_weights import BASE_WEIGHTS
from lora_widgets.catalog.families import FAMILIES
from lora_widgets.config.expectation import expected_memory
from lora_widgets.config.memory import SWAPPED_FOR_HALF
from lora_widgets.config.memory_estimate import room_for
from lora_widgets.config.rules.rule import Advice, Severity, Situation, change, rule
from lora_widgets.config.setup import DEMO
from lora_widgets.config.training_config import TrainingConfig

_MOST_OF_FLUX = 35
_MOST_OF_SD3 = 36
"""That of the largest, which has 38 blocks; medium has 24."""
SMALL_SHARE = 0.02
"""A share of a phase's memory below which it is not worth a word."""


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


@rule(Severity.WARNING, "full_fp16", "mixed_precision")
def adapter_in_fp16(now: Situation) -> Advice | None:
    """The optimizer's smallest numbers are zero in fp16."""
    if not _adapter_is_fp16(now.config) or now.config.optimizer.adaptive:
        return None
    return Advice(
        "`full_fp16` keeps the adapter and the optimizer's state in fp16, where their smallest numbers "
        "become zero: such runs often end with a loss that is no number.",
        "Turn it off: it saves little beside the base model.",
        change(full_fp16=False),
    )


@rule(Severity.ERROR, "full_fp16", "optimizer_type")
def adaptive_steps_in_fp16(now: Situation) -> Advice | None:
    """An optimizer that begins with steps of a millionth never gets away from there in fp16."""
    if not (_adapter_is_fp16(now.config) and now.config.optimizer.adaptive):
        return None
    return Advice(
        f"`full_fp16` is on, but the steps with which {now.config.optimizer_type} begins to find its rate "
        "are too small for fp16: nothing would be learned.",
        "Turn it off: it saves little beside the base model.",
        change(full_fp16=False),
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


@rule(
    Severity.WARNING,
    "gradient_checkpointing",
    "train_batch_size",
    "resolution",
    "optimizer_type",
    "mixed_precision",
)
def more_memory_than_there_is(now: Situation) -> Advice | None:
    """A run that does not fit ends after minutes of loading."""
    estimate, (free, place) = expected_memory(now.config, now.facts, now.steps), room_for(now.facts)
    if estimate is None or free is None or estimate.largest.bytes <= free:
        return None
    largest = estimate.largest
    shares = ", ".join(
        f"{name} {share / 1e9:.1f}" for name, share in largest.shares if share > SMALL_SHARE * largest.bytes
    )
    known = ", as measured on an earlier run of this kind" if largest.is_measured else ""
    message = (
        f"{largest.name} takes about {largest.bytes / 1e9:.1f} GB of {place}{known} ({shares}), and "
        f"{free / 1e9:.1f} GB are free."
    )
    for changes in _ways_to_save(now.config):
        smaller = expected_memory(now.config.with_changes(**changes), now.facts, now.steps)
        if smaller is not None and smaller.largest.bytes <= free:
            fix = change(**changes)
            return Advice(message, f"{fix.label}: then about {smaller.largest.bytes / 1e9:.1f} GB.", fix)
    return Advice(
        message,
        "Lower `resolution`, close other programs, or use a machine with more memory: no other setting "
        "saves enough.",
    )


@rule(Severity.ERROR, "base_weights")
def base_weights_without_their_package(now: Situation) -> Advice | None:
    """Four bits come from a package that not every machine has."""
    row = BASE_WEIGHTS[now.config.base_weights]
    if not row.package or row.package not in now.facts.missing_packages:
        return None
    return Advice(
        f"`base_weights` is {row.name}, which needs the package {row.package}, but it is not installed.",
        f"Install it with: pip install {row.package}, or set `base_weights` to fp8.",
        change(base_weights="fp8"),
    )


@rule(Severity.ERROR, "blocks_to_swap", "model_type")
def more_blocks_than_can_wait(now: Situation) -> Advice | None:
    """The block that computes and the next one are on the GPU anyway."""
    config, most = now.config, _most_swapped(now)
    if config.blocks_to_swap <= most or not _is_flow(config):
        return None
    return Advice(
        f"`blocks_to_swap` is {config.blocks_to_swap}, but at most {most} blocks of the base model can wait.",
        f"Set it to {most}.",
        change(blocks_to_swap=most),
    )


@rule(Severity.WARNING, "blocks_to_swap", "gradient_checkpointing")
def swapped_blocks_that_stay(now: Situation) -> Advice | None:
    """What is kept for the backward pass includes the weights."""
    config = now.config
    if not (config.blocks_to_swap and _is_flow(config)) or config.gradient_checkpointing:
        return None
    return Advice(
        "`blocks_to_swap` saves nothing while `gradient_checkpointing` is off: blocks that have computed "
        "stay on the GPU until the backward pass.",
        "Turn `gradient_checkpointing` on.",
        change(gradient_checkpointing=True),
        (change(blocks_to_swap=0),),
    )


@rule(Severity.NOTE, "blocks_to_swap")
def swapping_without_gpu(now: Situation) -> Advice | None:
    """A processor computes where the blocks would wait."""
    if not (now.config.blocks_to_swap and _is_flow(now.config)) or now.facts.cuda is not False:
        return None
    return Advice(
        "`blocks_to_swap` has no effect: there is no GPU, so all blocks are in main memory.",
        "Set it to 0.",
        change(blocks_to_swap=0),
    )


@rule(Severity.NOTE, "cpu_offload_checkpointing")
def offloading_without_gpu(now: Situation) -> Advice | None:
    """A processor computes where the checkpoints would wait."""
    config = now.config
    if (
        not (config.cpu_offload_checkpointing and config.gradient_checkpointing)
        or now.facts.cuda is not False
    ):
        return None
    return Advice(
        "`cpu_offload_checkpointing` has no effect: there is no GPU with a memory of its own.",
        "Turn it off.",
        change(cpu_offload_checkpointing=False),
    )


@rule(Severity.NOTE, "blocks_to_swap", "train_batch_size")
def larger_batch_of_flux_without_swap(now: Situation) -> Advice | None:
    """Flux and the activations of several pictures seldom fit together."""
    config = now.config
    if config.model_type != "Flux" or config.blocks_to_swap or config.train_batch_size == 1:
        return None
    if now.facts.cuda is False:
        return None
    return Advice(
        f"`train_batch_size` is {config.train_batch_size} and `blocks_to_swap` is 0: few GPUs hold all of "
        "Flux beside more than one picture.",
        f"If memory runs out, set `blocks_to_swap` to {SWAPPED_FOR_HALF}.",
        change(blocks_to_swap=SWAPPED_FOR_HALF),
    )


@rule(Severity.NOTE, "gradient_checkpointing", "model_type")
def large_model_without_checkpointing(now: Situation) -> Advice | None:
    """Of large models, what is kept for the backward pass is more than the model."""
    config = now.config
    if config.gradient_checkpointing or not (_is_flow(config) or config.model_type == "SDXL"):
        return None
    return Advice(
        f"`gradient_checkpointing` is off: {config.model_type} keeps much memory for each picture.",
        "Turn it on if memory runs out; steps take about a third longer.",
        change(gradient_checkpointing=True),
    )


@rule(Severity.WARNING, "output_dir", "save_every_n_epochs", "save_every_n_steps", "save_state")
def more_files_than_fit(now: Situation) -> Advice | None:
    """A disk that runs full ends a run at a save."""
    estimate, free = expected_memory(now.config, now.facts, now.steps), now.facts.free_disk_bytes
    if estimate is None or free is None or estimate.disk <= free:
        return None
    return Advice(
        f"Weights and states of this run take about {estimate.disk / 1e9:.1f} GB, and the drive of "
        f"`output_dir` has {free / 1e9:.1f} GB free.",
        "Save less often, keep fewer with `save_last_n_epochs`, or choose another folder.",
    )


def _adapter_is_fp16(config: TrainingConfig) -> bool:
    return config.full_fp16 and config.mixed_precision == "fp16"


def _is_flow(config: TrainingConfig) -> bool:
    return FAMILIES[config.model_type].predicts == "velocity"


def _most_swapped(now: Situation) -> int:
    """Return how many blocks kohya-ss/sd-scripts swaps at most: all but two (enable_block_swap)."""
    if now.config.model_type == "Flux":
        return _MOST_OF_FLUX
    blocks = now.facts.base_model.denoiser.blocks if now.facts.base_model else ()
    return max(0, len(blocks) - 2) if blocks else _MOST_OF_SD3


def _ways_to_save(config: TrainingConfig) -> Iterator[dict[str, object]]:
    """Yield changes, each with all before it: those that cost least come first."""
    steps: dict[str, object] = {
        "gradient_checkpointing": True,
        "train_batch_size": 1,
        "optimizer_type": "AdamW8bit",
    }
    if config.base_weights == "dense":
        steps["base_weights"] = "nf4"
    if _is_flow(config):
        steps["blocks_to_swap"] = max(SWAPPED_FOR_HALF, config.blocks_to_swap)
    if config.dataset_config:
        del steps["train_batch_size"]  # the file says it
    if config.optimizer_type != "AdamW":
        del steps["optimizer_type"]
    changes: dict[str, object] = {}
    for name, value in steps.items():
        if getattr(config, name) != value:
            changes[name] = value
            yield dict(changes)
