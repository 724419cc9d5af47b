"""When memory runs out: said so, with what to change, and given back so that the kernel lives on."""

import re
import traceback

import torch

from lora_widgets.catalog.families import FAMILIES
from lora_widgets.config.memory import SWAPPED_FOR_HALF
from lora_widgets.config.training_config import TrainingConfig
from lora_widgets.errors import LoraWidgetsError, TrainingError
from lora_widgets.families.block_swap import has_another_memory
from lora_widgets.families.in_memory import free_memory

# What CPU allocators and CUDA's libraries say as plain RuntimeErrors.
_WORDS = re.compile(
    r"can't allocate memory|not enough memory|out of memory|ALLOC_FAILED|failed to allocate", re.IGNORECASE
)
_TRIED = re.compile(r"tried to allocate [\d.]+ [KMGT]?i?B?(ytes)?", re.IGNORECASE)


def is_out_of_memory(error: BaseException) -> bool:
    """Tell whether an error means that no more memory could be had."""
    if isinstance(error, LoraWidgetsError):
        return False
    if isinstance(error, MemoryError | torch.OutOfMemoryError):
        return True
    return isinstance(error, RuntimeError) and _WORDS.search(str(error)) is not None


def make_room(error: BaseException) -> None:
    """Forget the tensors of the calls that failed, which their error would keep alive."""
    traceback.clear_frames(error.__traceback__)
    free_memory()


def explained(
    error: BaseException, config: TrainingConfig, *, device: torch.device, while_doing: str
) -> TrainingError:
    """Return the error for the user: what was being done, and what to change, the cheapest first."""
    tried = _TRIED.search(str(error))
    ways = "; ".join(ways_out(config, device=device, loops=while_doing.startswith("step")))
    return TrainingError(
        f"Memory ran out during {while_doing}{f' ({tried[0]})' if tried else ''}. It was given back, so this "
        f"kernel can start again. Change one or more of these, in this order: {ways}."
    )


def ways_out(config: TrainingConfig, *, device: torch.device, loops: bool) -> list[str]:
    """Return what to change so that a run takes less, the cheapest first; ``loops`` is said of its steps."""
    text_stays = config.captions_can_be_kept and not config.text_is_cached
    on_gpu, is_flow = has_another_memory(device), FAMILIES[config.model_type].is_flow
    latents_in_memory = config.latents_are_cached and not config.cache_latents_to_disk
    ways = (
        (
            not loops and config.vae_batch_size > 1,
            f"lower `vae_batch_size` from {config.vae_batch_size} to 1",
        ),
        (
            not loops and config.text_is_cached and config.text_encoder_batch_size > 1,
            f"lower `text_encoder_batch_size` from {config.text_encoder_batch_size} to 1",
        ),
        (config.mixed_precision == "no", "set `mixed_precision` to bf16"),
        (not config.gradient_checkpointing, "turn `gradient_checkpointing` on"),
        (config.train_batch_size > 1, f"lower `train_batch_size` from {config.train_batch_size} to 1"),
        (not config.latents_are_cached, "turn `cache_latents` on, so that the VAE leaves"),
        (latents_in_memory and not on_gpu, "turn `cache_latents_to_disk` on"),
        (text_stays, "turn `cache_text_encoder_outputs` on, so that the text encoder leaves"),
        (True, f"lower `resolution` from {config.resolution}"),
        ("8bit" not in config.optimizer_type, "set `optimizer_type` to AdamW8bit"),
        (
            on_gpu and is_flow and config.blocks_to_swap < SWAPPED_FOR_HALF,
            f"raise `blocks_to_swap` from {config.blocks_to_swap} to {SWAPPED_FOR_HALF}",
        ),
        (config.base_weights == "dense", "set `base_weights` to fp8 or nf4"),
        (True, f"close other programs that use {'the GPU' if on_gpu else 'the memory'}"),
    )
    return [way for applies, way in ways if applies]
