"""What the settings alone cannot know: the pictures, the machine, the files."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Annotated

from pydantic import Field

from lora_widgets.config.activations import Activations
from lora_widgets.config.prompts import PromptFile


@dataclass(frozen=True)
class LongCaption:
    """A caption of more tokens than a text encoder reads at once: its picture's name and its length.

    ``beyond`` holds how the text goes on after 75, 150 and 225 tokens, as far as it does.
    """

    picture: str
    tokens: int
    beyond: tuple[str, ...]


@dataclass(frozen=True)
class DatasetFacts:
    """What a scan of the pictures found.

    ``bucket_counts`` holds pictures x repeats of each bucket, ``batch_sizes`` the size of its batches where a
    dataset file decides it (empty: `train_batch_size` does), ``skipped`` a sentence for each file left out,
    ``without_caption`` the number of pictures that have no text, ``sentences`` that of captions which look
    like sentences and not like tags, ``enlarged`` that of pictures enlarged to more than twice the size, and
    ``shapes`` that of different ratios of width and height. ``bucket_sizes`` are the sides of the buckets in
    pixels. ``long_captions`` begins with the longest; it is
    empty too where the base model's tokenizer is not on this machine.
    """

    images: int
    bucket_counts: tuple[int, ...]
    batch_sizes: tuple[int, ...] = ()
    skipped: tuple[str, ...] = ()
    without_caption: int = 0
    sentences: int = 0
    enlarged: int = 0
    shapes: int = 0
    long_captions: tuple[LongCaption, ...] = ()
    bucket_sizes: tuple[tuple[int, int], ...] = ()


@dataclass(frozen=True)
class PartSize:
    """One part of a base model, in numbers (weights): all of them, and those of its linear layers.

    ``largest`` are those of the largest linear layer. ``blocks`` are the numbers of each block of a
    transformer that reads text and picture side by side, ``single_blocks`` of those that read them as one.
    ``t5`` are the numbers of T5 among those of the text encoders.
    """

    numbers: int = 0
    linear: int = 0
    largest: int = 0
    blocks: tuple[int, ...] = ()
    single_blocks: tuple[int, ...] = ()
    t5: int = 0


@dataclass(frozen=True)
class LayerFacts:
    """A layer that an adapter can change, as files have it: ``path`` is where, ``blocks`` what it is in.

    ``component`` is "unet" or a text encoder; ``shape`` that of its weight: (rows, columns), with the sides
    of a kernel after them, or (channels,) of a norm.
    """

    component: str
    path: str
    shape: tuple[int, ...]
    blocks: frozenset[str]
    has_bias: bool

    @property
    def has_kernel(self) -> bool:
        """Whether it is a convolution larger than 1x1."""
        return len(self.shape) == 4 and self.shape[2:] != (1, 1)

    @property
    def is_norm(self) -> bool:
        """Whether it is a normalisation layer."""
        return len(self.shape) == 1


@dataclass(frozen=True)
class BaseModelFacts:
    """What the headers of a base model's files say about its size, part by part.

    ``activations`` is what the denoiser keeps for its backward pass, None where its structure is unknown;
    ``latent_factor`` the pixels along a side that become one latent; ``vae_channels`` the widths of the VAE
    at full size and at half size; ``layers`` what an adapter can change.
    """

    denoiser: PartSize
    text_encoder: PartSize
    vae: PartSize
    activations: Activations | None
    latent_factor: int = 8
    vae_channels: tuple[int, int] = (128, 256)
    layers: tuple[LayerFacts, ...] = field(default=(), repr=False)


Bytes = Annotated[float, Field(ge=0, allow_inf_nan=False)]
RunKind = Mapping[str, str | int | bool]
"""What decides how far an estimate is off, by name; runs with equal ones tell of each other."""


@dataclass(frozen=True)
class MeasuredPhase:
    """What a phase of a run took at most, in bytes, beside what the formula says of that same work.

    ``growing`` is the part of ``estimated`` that depends on batch, pictures and ranks.
    """

    name: str
    peak: Bytes
    estimated: Bytes
    growing: Bytes


@dataclass(frozen=True)
class MeasuredRun:
    """What a run took: seconds for each pixel of a batch (None: not measured), and memory by phase."""

    kind: RunKind
    seconds_per_pixel: Annotated[float, Field(gt=0, allow_inf_nan=False)] | None
    phases: tuple[MeasuredPhase, ...]


@dataclass(frozen=True)
class Facts:
    """What is known beyond the settings; None or empty means unknown.

    ``missing_paths`` names the settings whose file or folder does not exist, ``missing_packages`` the
    packages that cannot be imported, ``taken_names`` the file stems of earlier runs in the output folder,
    ``free_memory_bytes`` is what programs can still take of the machine's memory, ``free_gpu_bytes`` that of
    the GPU's, ``free_disk_bytes`` what the drive of the output folder can still take. ``base_model`` is the
    size of the base model, where its files are on this machine, ``largest_side`` the longest side of a
    picture, in pixels, that its table of positions reaches, None too where there is no such table. ``files``
    names the kind (`FILE_KINDS`) of the weight file that a setting holds. ``prompt_file`` is None too where
    `sample_prompts` names no file. ``measured`` are earlier runs on this machine, one of each kind.
    """

    dataset: DatasetFacts | None = None
    cuda: bool | None = None
    bf16: bool | None = None
    missing_paths: tuple[str, ...] = ()
    missing_packages: tuple[str, ...] = ()
    taken_names: frozenset[str] = frozenset()
    free_memory_bytes: int | None = None
    free_gpu_bytes: int | None = None
    free_disk_bytes: int | None = None
    base_model: BaseModelFacts | None = None
    largest_side: int | None = None
    files: Mapping[str, str] = field(default_factory=lambda: MappingProxyType({}))
    prompt_file: PromptFile | None = None
    measured: tuple[MeasuredRun, ...] = ()
