"""How much memory and disk a run takes, from its settings and the sizes of model and pictures. Pure.

The parts of the model come and go, so each phase of a run has its own sum. What is counted: weights in the
number format they compute in, the adapter with gradients and optimizer state, what the denoiser keeps for its
backward pass, the pictures that the VAE works on, and latents that are cached in memory.
"""

from dataclasses import dataclass
from functools import cached_property

from lora_widgets.catalog.base_weights import BASE_WEIGHTS
from lora_widgets.catalog.families import FAMILIES
from lora_widgets.catalog.formats import PRECISIONS, SAVE_PRECISIONS
from lora_widgets.catalog.optimizers import OPTIMIZERS
from lora_widgets.config.activations import PARTS_OF_4
from lora_widgets.config.adapter_size import adapter_numbers
from lora_widgets.config.facts import BaseModelFacts, DatasetFacts, Facts
from lora_widgets.config.memory import blocks_of_flux
from lora_widgets.config.phases import CAPTIONS, PICTURES, SAMPLES, TRAINING
from lora_widgets.config.steps import StepPlan, batch_sizes_of
from lora_widgets.config.training_config import TrainingConfig
from lora_widgets.errors import ConfigError

FULL, HALF = 4, 2
"""Bytes of a number in full and in half precision."""

# CUDA's autocast computes norms in full precision: what is kept around them then takes four bytes, and each
# projection keeps a copy in half precision of its own.
_NORMS_OF_CUDA = {"convolutions": 10 / 6, "transformer": 66 / 56}
# While a unit goes backward, its gradients live beside what it kept.
_GRADIENTS_OF_A_UNIT = 0.5
# Swapped blocks that are on the GPU: the one that computes, the next, and what is left of the one before.
_FETCHED_AT_ONCE = 3
# Tensors of full size that a block of the VAE has alive at once: its input and what lies between its
# convolutions. All else exists in strips, which a GPU computes in larger ones.
_TENSORS_OF_VAE = 2
_STRIPS_ON_GPU = 0.05e9
# On a processor the libraries that a run touches first count as its memory too.
PROGRAM, _PROGRAM_BYTES = "program", 0.06e9
_DRAWN_AT_ONCE = 2
"""Pictures the denoiser computes at once for a sample: with and without the prompt."""
_WEIGHTS = frozenset({"base model", "text encoder", "VAE", "text encoder and VAE"})
"""The shares that are frozen weights and nothing else: headers say them to the byte."""


@dataclass(frozen=True)
class PhaseMemory:
    """What a phase of a run holds at most, in bytes, by what it is for.

    ``is_measured`` says that it rests on what an earlier run took.
    """

    name: str
    shares: tuple[tuple[str, float], ...]
    is_measured: bool = False

    @property
    def bytes(self) -> float:
        """The sum."""
        return sum(share for _, share in self.shares)

    @property
    def weights(self) -> float:
        """The bytes of frozen weights, which are there whatever is done with them."""
        return sum(share for name, share in self.shares if name in _WEIGHTS)

    @property
    def growing(self) -> float:
        """The bytes that grow with batch, pictures and ranks."""
        return sum(share for name, share in self.shares if grows(name))


@dataclass(frozen=True)
class MemoryEstimate:
    """What a run will take, in bytes: each phase where it computes, and all that it leaves on disk."""

    phases: tuple[PhaseMemory, ...]
    disk: float

    @property
    def largest(self) -> PhaseMemory:
        """The phase that takes most."""
        return max(self.phases, key=lambda phase: phase.bytes)


def grows(share: str) -> bool:
    """Tell whether a share depends on batch, pictures and ranks, and is not there whatever is done."""
    return share not in _WEIGHTS and share != PROGRAM


def estimate_for(config: TrainingConfig, facts: Facts, steps: StepPlan | None) -> MemoryEstimate | None:
    """Estimate a run by formula; None where the size of the base model is not known."""
    if facts.base_model is None:
        return None
    return MemoryQuestion(config, facts.base_model, facts.dataset, steps, computes_on_gpu(facts)).answer()


def computes_on_gpu(facts: Facts) -> bool:
    """Tell whether the run will compute on a GPU, as far as it is known."""
    return bool(facts.cuda) or facts.free_gpu_bytes is not None


def room_for(facts: Facts) -> tuple[int | None, str]:
    """Return the free bytes where the run will compute, None where unknown, and what that place is called."""
    if computes_on_gpu(facts):
        return facts.free_gpu_bytes, "the GPU's memory"
    return facts.free_memory_bytes, "memory"


@dataclass(frozen=True)
class MemoryQuestion:
    """A run whose memory is asked for; pictures that are unknown count as one bucket of the resolution.

    ``on_gpu`` says where it computes: what is cached stays in main memory.
    """

    config: TrainingConfig
    model: BaseModelFacts
    dataset: DatasetFacts | None
    steps: StepPlan | None
    on_gpu: bool

    def answer(self) -> MemoryEstimate:
        """Estimate each phase of the run."""
        phases = [self._captions(), self._pictures(), self._training()]
        if self.config.sample_every.is_on:
            phases.append(self._samples())
        return MemoryEstimate(tuple(map(self._with_program, phases)), self._disk())

    @cached_property
    def num_trained(self) -> int:
        """How many numbers are trained; 0 where settings say none that can be, which other findings tell."""
        try:
            return adapter_numbers(self.config, self.model.layers)
        except (ConfigError, ValueError, IndexError):
            return 0

    def _with_program(self, phase: PhaseMemory) -> PhaseMemory:
        if self.on_gpu:
            return phase
        return PhaseMemory(phase.name, (*phase.shares, (PROGRAM, _PROGRAM_BYTES)))

    def _captions(self) -> PhaseMemory:
        return PhaseMemory(CAPTIONS, (("text encoder", self._text),))

    def _pictures(self) -> PhaseMemory:
        pixels = max(width * height for width, height in self._sizes) * self.config.vae_batch_size
        working = self._strips + pixels * self.model.vae_channels[0] * _TENSORS_OF_VAE * self._vae_number
        shares = (("VAE", self._vae), ("pictures", working), ("text encoder", self._text_that_stays))
        return PhaseMemory(PICTURES, (*shares, ("cached latents", self._latents)))

    def _training(self) -> PhaseMemory:
        vae = 0.0 if self.config.latents_are_cached else self._vae
        return PhaseMemory(
            TRAINING,
            (
                ("base model", self._base),
                ("adapter and its gradients", 2.0 * self._adapter_number * self.num_trained),
                ("optimizer", self._state),
                ("activations", self._activations()),
                ("text encoder and VAE", self._text_that_stays + vae),
                ("cached latents", self._latents),
            ),
        )

    def _samples(self) -> PhaseMemory:
        width, height = self.config.resolution_size
        # A picture is enlarged to full size with the channels of half size; the next block halves them.
        working = width * height * self.model.vae_channels[1] * _TENSORS_OF_VAE * self._vae_number
        decoding = self._vae + self._strips + working
        units = self.model.activations.units if self.model.activations else ()
        widest = max((unit.inside for unit in units), default=0.0)
        denoising = widest / 2 * self._number * self._positions((width, height)) * _DRAWN_AT_ONCE
        shares = (
            ("base model", self._base),
            ("adapter and optimizer", self._adapter_number * self.num_trained + self._state),
            ("VAE and picture", max(decoding, denoising)),
            ("text encoder", self._text_that_stays),
        )
        return PhaseMemory(SAMPLES, (*shares, ("cached latents", self._latents)))

    def _activations(self) -> float:
        """Return the bytes that are kept for the backward pass of the largest batch."""
        kept = self.model.activations
        if kept is None:
            return 0.0
        growth = _NORMS_OF_CUDA if self.on_gpu and self._number == HALF else {}
        inside = [unit.inside * growth.get(unit.kind, 1.0) for unit in kept.units]
        count = kept.between + _GRADIENTS_OF_A_UNIT * max(inside)
        if self.config.gradient_checkpointing:
            waits = self.on_gpu and self.config.cpu_offload_checkpointing
            count += max(inside) + (0 if waits else sum(unit.kept for unit in kept.units))
        else:
            count += sum(inside)
        return count * self._number * self._largest_batch(kept.text_tokens * PARTS_OF_4)

    def _largest_batch(self, text: int) -> float:
        """Return the latent positions of the largest batch, with ``text`` more for each picture."""
        config, dataset = self.config, self.dataset
        if dataset is None or not dataset.bucket_sizes:
            return config.train_batch_size * (self._positions(config.resolution_size) + text)
        counts = zip(dataset.bucket_counts, batch_sizes_of(config, dataset), strict=True)
        together = [size if config.fills_batches else min(count, size) for count, size in counts]
        return max(
            batch * (self._positions(size) + text)
            for batch, size in zip(together, dataset.bucket_sizes, strict=True)
        )

    def _positions(self, size: tuple[int, int]) -> float:
        return size[0] * size[1] / self.model.latent_factor**2

    @property
    def _sizes(self) -> tuple[tuple[int, int], ...]:
        return (self.dataset.bucket_sizes if self.dataset else ()) or (self.config.resolution_size,)

    @property
    def _number(self) -> int:
        return FULL if PRECISIONS[self.config.mixed_precision].dtype == "float32" else HALF

    @property
    def _base(self) -> float:
        part = self.model.denoiser
        kept = BASE_WEIGHTS[self.config.base_weights].bytes_per_number or self._number
        whole = (part.numbers - part.linear) * self._number + part.linear * kept
        # A stored weight is dense for the moment of its product.
        is_stored = BASE_WEIGHTS[self.config.base_weights].bytes_per_number > 0
        dense = part.largest * self._number if is_stored else 0
        return whole * (1 - self._share_away) + dense

    @property
    def _share_away(self) -> float:
        """The share of the denoiser that waits in main memory while another block computes."""
        part, count = self.model.denoiser, self.config.blocks_to_swap
        if not (count and self.on_gpu and (part.blocks or part.single_blocks)):
            return 0.0
        doubles, singles = blocks_of_flux(count) if part.single_blocks else (count, 0)
        away = (*_last(part.blocks, doubles), *_last(part.single_blocks, singles))
        # Autograd keeps those that have been fetched until the backward pass, unless they are repeated.
        there = _FETCHED_AT_ONCE if self.config.gradient_checkpointing else len(away)
        return max(0, sum(away) - there * max(away)) / part.numbers

    @property
    def _vae_number(self) -> int:
        return FULL if self.config.no_half_vae else self._number

    @property
    def _strips(self) -> float:
        return _STRIPS_ON_GPU if self.on_gpu else 0.0  # else they are part of the program's

    @property
    def _vae(self) -> float:
        return float(self.model.vae.numbers * self._vae_number)

    @property
    def _text(self) -> float:
        return float(self.model.text_encoder.numbers * self._number)

    @property
    def _text_that_stays(self) -> float:
        if not self.config.captions_are_kept:
            return self._text
        clip = self.model.text_encoder.numbers - self.model.text_encoder.t5
        return float(clip * self._number) if self.config.trains_text_encoder else 0.0

    @property
    def _state(self) -> float:
        share = self._adapter_number / FULL  # torch's optimizers keep the format of the weights
        return OPTIMIZERS[self.config.optimizer_type].state_bytes * share * self.num_trained

    @property
    def _adapter_number(self) -> int:
        wanted = {"fp16": self.config.full_fp16, "bf16": self.config.full_bf16}
        return HALF if wanted.get(self.config.mixed_precision) else FULL

    @property
    def _latents(self) -> float:
        """The bytes of latents that are cached in the memory where it computes."""
        config, dataset = self.config, self.dataset
        in_memory = config.latents_are_cached and not config.cache_latents_to_disk
        if self.on_gpu or dataset is None or not in_memory:
            return 0.0
        numbers = FAMILIES[config.model_type].latent_channels * self._positions(config.resolution_size)
        return dataset.images * (2 if config.flip_aug else 1) * numbers * FULL

    def _disk(self) -> float:
        """Return the bytes of all weights and states that lie on the disk at the end."""
        config, steps = self.config, self.steps
        is_full = SAVE_PRECISIONS[config.save_precision].dtype == "float32"
        weights = self.num_trained * (FULL if is_full else HALF)
        saves = 1
        if steps is not None and config.save_every_n_epochs:
            by_epoch = steps.epochs // config.save_every_n_epochs
            saves += min(by_epoch, config.save_last_n_epochs or by_epoch)
        if steps is not None and config.save_every_n_steps:
            saves += steps.total_steps // config.save_every_n_steps
        states = saves if config.save_state else 2  # the newest, and the one that it replaces
        return saves * weights + states * (FULL * self.num_trained + self._state)


def _last(blocks: tuple[int, ...], count: int) -> tuple[int, ...]:
    return blocks[max(0, len(blocks) - count) :]
