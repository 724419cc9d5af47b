"""Tab Advanced, groups Memory and Caching."""

from typing import Annotated

from pydantic import Field

from lora_widgets.catalog.base_weights import BASE_WEIGHTS
from lora_widgets.catalog.formats import PRECISIONS
from lora_widgets.config.fields import OneOf, OnlyWhen, Ui
from lora_widgets.config.section import Section
from lora_widgets.config.tabs import Tab

SWAPPED_FOR_HALF = 18
"""With as many of `blocks_to_swap`, about half of Flux waits in main memory, and most of SD3 medium."""

TRITON = "triton"
"""The package by which `torch_compile` compiles for a GPU."""


class Memory(Section, tab=Tab.ADVANCED, group="Memory"):
    """Memory against speed. Attention always runs through torch's fused kernels."""

    gradient_checkpointing: Annotated[bool, Ui("Gradient checkpointing")] = True
    """Compute parts of the model twice instead of keeping them. Saves much memory, takes about a third more
    time."""

    cpu_offload_checkpointing: Annotated[
        bool, Ui("Checkpoints in main memory"), OnlyWhen.on("gradient_checkpointing")
    ] = False
    """Let what gradient checkpointing keeps wait in main memory. Saves GPU memory with large pictures or
    batches, and takes a little more time; acts on a GPU that has a memory of its own."""

    mixed_precision: Annotated[str, OneOf(PRECISIONS), Ui("Mixed precision")] = "fp16"
    """Number format of the frozen model and of the computation. bf16 is the better one where the GPU has it;
    the adapter itself keeps full precision."""

    base_weights: Annotated[str, OneOf(BASE_WEIGHTS), Ui("Frozen weights")] = "dense"
    """How the large layers of the frozen model are kept. fp8 and int8 halve their memory, nf4 takes a
    quarter; each makes training slower and less exact. The adapter is not touched."""

    blocks_to_swap: Annotated[
        int, Field(ge=0, le=36), OnlyWhen("model_type", "Flux", "SD3"), Ui("Swapped blocks", unit="blocks")
    ] = 0
    """Transformer blocks of the frozen model that wait in main memory and are on the GPU only while they
    compute. More save more memory and make steps slower; 18 keep about half of Flux away, which has 35 to
    swap. One block of Flux counts as one double block, or as two single ones, in turns."""

    torch_compile: Annotated[bool, Ui("Compiled blocks")] = False
    """Compile the blocks that the denoiser repeats. Steps can become faster on newer GPUs, but the first ones
    take minutes, so it pays on runs of an hour or so. Needs triton on a GPU, a C++ compiler on a processor;
    where it fails, the training goes on without."""

    full_fp16: Annotated[bool, Ui("Full fp16"), OnlyWhen("mixed_precision", "fp16")] = False
    """Keep the adapter in half precision too. Saves little and often diverges."""

    full_bf16: Annotated[bool, Ui("Full bf16"), OnlyWhen("mixed_precision", "bf16")] = False
    """Keep the adapter in bf16 too. Saves little, and updates smaller than 1/256 of a weight are lost."""

    no_half_vae: Annotated[bool, Ui("VAE in full precision")] = False
    """Run the VAE in full precision. Needed when pictures turn black or latents are not finite."""

    vae_tiling: Annotated[bool, Ui("VAE in tiles")] = False
    """Encode and decode pictures larger than the VAE was made for tile by tile. Saves memory; colours may
    differ a little from tile to tile."""


def blocks_of_flux(count: int) -> tuple[int, int]:
    """Return how many double and single blocks ``count`` of `blocks_to_swap` are for Flux.

    A double block is as large as two and a half single ones, so they are counted as kohya-ss/sd-scripts does
    (flux_models: enable_block_swap).
    """
    return count // 2, 2 * (count - count // 2)


class Caching(Section, tab=Tab.ADVANCED, group="Caching"):
    """What is computed once and kept."""

    cache_latents: Annotated[bool, Ui("Cache latents")] = False
    """Encode every picture once before the training. Much faster, and the VAE leaves the memory."""

    cache_latents_to_disk: Annotated[bool, Ui("Cache latents on disk")] = False
    """Keep the encoded pictures in the cache folder, for this run's memory and for the next run. That then
    loads the VAE for samples only. Turns latent caching on."""

    latent_cache_crops: Annotated[int, Field(ge=1, le=1000), Ui("Cached crops")] = 1
    """Crops that are encoded of each picture where random_crop and cached latents meet. More come closer to
    cutting anew at each showing, and take so many times the time and the room; usual are 4 to 10."""

    cache_text_encoder_outputs: Annotated[bool, Ui("Cache text encoder")] = False
    """Encode every caption once before the training. Faster, and the text encoder leaves the memory; it
    cannot learn then. Where CLIP trains beside T5 (Flux, SD3), only T5's part is cached."""

    cache_text_encoder_outputs_to_disk: Annotated[bool, Ui("Cache text on disk")] = False
    """Keep the encoded captions in the cache folder for the next run. That then loads no text encoder to
    encode them. Turns text caching on."""

    text_cache_variants: Annotated[int, Field(ge=1, le=1000), Ui("Cached captions")] = 1
    """Variants that are encoded of each caption where shuffling, tag dropout or wildcards meet the text
    cache. More come closer to drawing anew at each showing; usual are 5 to 20."""

    cache_dir: Annotated[str | None, Ui("Cache folder", path="folder")] = None
    """Folder for what is cached on disk, and for how much time and memory runs took. Empty means a folder of
    this user that all runs share; a folder among the pictures is possible too."""

    text_encoder_batch_size: Annotated[int, Field(ge=1, le=4096), Ui("Text batch size", unit="captions")] = 16
    """Captions that are encoded at once when they are cached. More is faster and needs more memory."""

    vae_batch_size: Annotated[int, Field(ge=1, le=1024), Ui("VAE batch size", unit="pictures")] = 1
    """Pictures that are encoded at once. More is faster and needs more memory; usual are 1 to 4."""

    prefetch_batches: Annotated[int, Field(ge=1, le=1024), Ui("Prefetch", unit="batches")] = 4
    """Batches that a background thread prepares ahead of the training. More bridges slow disks and takes
    memory; usual are 2 to 8."""

    @property
    def latents_are_cached(self) -> bool:
        """Whether pictures are encoded once, before the loop."""
        return self.cache_latents or self.cache_latents_to_disk

    @property
    def text_is_cached(self) -> bool:
        """Whether captions are encoded once, before the loop."""
        return self.cache_text_encoder_outputs or self.cache_text_encoder_outputs_to_disk
