"""From a plan to a job: load, encode what can be encoded once, attach the adapter, load the state."""

import time
import uuid
from collections.abc import Generator, Iterator
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass, field
from functools import partial

import torch

from lora_widgets.adapters.adapter import Adapter
from lora_widgets.adapters.attach import attach
from lora_widgets.config.files import save_config
from lora_widgets.config.phases import CAPTIONS, LOADING_DENOISER, PICTURES
from lora_widgets.data.cache_folder import cache_folder
from lora_widgets.data.cache_layout import PARTS
from lora_widgets.data.dataset import Batch, Dataset
from lora_widgets.events import Event, Notice, PhaseProgress, Started
from lora_widgets.families.autoencoder import Autoencoder
from lora_widgets.lora_files.lora_file import kohya_tensors
from lora_widgets.training.caching import all_text, cache_latents, cache_text, text_of_t5
from lora_widgets.training.compiled import BEGINS, CompiledBlocks, not_compiled
from lora_widgets.training.control import Control
from lora_widgets.training.known_parts import KnownParts, PartOnDemand, loading_denoiser
from lora_widgets.training.memory_peaks import PeakMeter
from lora_widgets.training.metadata import RunFacts
from lora_widgets.training.optimizers import build_optimizer, load_optimizer
from lora_widgets.training.pace import PaceMeter
from lora_widgets.training.plan import Plan
from lora_widgets.training.precision import Precision, precision_for
from lora_widgets.training.randomness import generator_for
from lora_widgets.training.samples import Studio
from lora_widgets.training.text import CachedText, LiveText

DOWNLOADING = "Downloading the base model (MB)"


@dataclass
class Job:
    """A run ready to loop; beside the models, ``step``, ``weights`` and ``states`` are what changes.

    ``notices`` are what a step has to say beside its numbers; the loop passes them on. ``peaks`` measures
    what each phase takes of the memory, ``pace`` how long steps take; ``first_step`` is where this run began.
    ``compiled`` is None without `torch_compile`, and after it failed. ``largest_batch`` is the number of
    pictures and their size of the largest one so far.
    """

    plan: Plan
    precision: Precision
    dataset: Dataset
    text: LiveText | CachedText
    adapter: Adapter
    optimizer: torch.optim.Optimizer
    scaler: torch.amp.GradScaler
    studio: Studio
    facts: RunFacts
    peaks: PeakMeter
    pace: PaceMeter = field(default_factory=PaceMeter)
    step: int = 0
    first_step: int = 0
    largest_batch: tuple[int, tuple[int, int]] = (0, (0, 0))
    weights: tuple[str, ...] = ()
    states: tuple[str, ...] = ()
    notices: list[Event] = field(default_factory=list[Event])
    compiled: CompiledBlocks | None = None
    began: float = field(default_factory=time.monotonic)

    def close(self) -> None:
        """Give the base model back as it was."""
        if self.compiled:
            self.compiled.detach()
        self.adapter.detach()

    def stop_compiling(self, error: Exception) -> None:
        """Go on without compiled blocks, of which ``error`` came in the middle of an update."""
        assert self.compiled  # what else should have failed
        self.compiled.detach()
        self.compiled = None
        self.optimizer.zero_grad(set_to_none=True)
        self.notices.append(not_compiled(error))

    def epoch_of(self, step: int) -> int:
        """Return the epoch (from 1) that the update ``step`` (from 0) belongs to."""
        return step // self.plan.steps.steps_per_epoch + 1

    def take_batch(self, batch: Batch) -> None:
        """Take note of a batch that was trained on."""
        height, width = batch.sizes[0, -2:].tolist()
        shown = len(batch.images), (int(width), int(height))
        self.largest_batch = max(self.largest_batch, shown, key=_pixels_of)

    def started(self) -> Started:
        """Return the event that says what will run."""
        steps, folder = self.plan.steps, self.plan.folder
        return Started(
            run_name=folder.stem,
            folder=str(folder.path),
            total_steps=steps.total_steps,
            steps_per_epoch=steps.steps_per_epoch,
            epochs=steps.epochs,
            start_step=self.step,
            modules=self.adapter.counts(),
            parameters=self.adapter.num_parameters(),
            device=str(self.precision.device),
        )


def _pixels_of(batch: tuple[int, tuple[int, int]]) -> int:
    count, (width, height) = batch
    return count * width * height


def prepare(plan: Plan, control: Control) -> Generator[Event, None, Job]:
    """Load and encode, with progress; return the job.

    Raises:
        Stopped: the user asked for it meanwhile.
    """
    config, family, precision = plan.config, plan.family, precision_for(plan.config)
    yield from _notices(plan)
    yield from _download(plan, control)
    dataset = Dataset(plan.found.scan.images, plan.found.plan, plan.found.scan.parts, seed=config.seed)
    told: list[Event] = []
    peaks = PeakMeter(precision.device, plan.memory, told)
    text = yield from _prepare_text(plan, dataset, precision, peaks, control)
    yield from _prepare_latents(plan, dataset, precision, peaks, control)
    yield from peaks.measured(LOADING_DENOISER, _load_denoiser(plan, precision))
    control.leave_if_stopping()
    adapter = attach(
        family, config, generator=generator_for(config.seed, "adapter"), sizes=_sizes_of_file(plan)
    )
    yield from (Notice("warning", note) for note in adapter.notes)
    adapter.to(precision.device)
    for parameters in adapter.parameters_of().values():
        for parameter in parameters:
            parameter.data = parameter.data.to(precision.adapter)
    if config.gradient_checkpointing:
        family.enable_gradient_checkpointing(unet=True, text_encoder=config.trains_text_encoder)
    if plan.start_values:
        tensors, source = plan.start_values
        yield from (Notice("warning", note) for note in adapter.load_tensors(tensors, source=source))
    optimizer = build_optimizer(config, adapter.named_parameters_of())
    studio = _studio(plan, adapter, text, precision, control)
    facts = RunFacts(
        config=config,
        scan=plan.found.scan,
        buckets=plan.found.plan,
        steps=plan.steps,
        identity=family.identity(),
        session=uuid.uuid4().hex,
        started_at=time.time(),
        weights_file=family.weights_file,
    )
    scaler = precision.new_scaler()
    job = Job(plan, precision, dataset, text, adapter, optimizer, scaler, studio, facts, peaks, notices=told)
    _go_on(job)
    if config.torch_compile:
        yield BEGINS
        job.compiled = CompiledBlocks(family.roots()["unet"].module, dynamic=not dataset.has_one_shape)
    save_config(config, plan.folder.config)
    return job


def _studio(
    plan: Plan, adapter: Adapter, text: LiveText | CachedText, precision: Precision, control: Control
) -> Studio:
    """Return what draws the samples of the run."""
    config = plan.config
    cached = config.latents_are_cached
    return Studio(
        family=plan.family,
        adapter=adapter,
        precision=precision,
        embed=text.one,
        prompts=plan.prompts,
        sampler=config.sample_sampler,
        seed=config.seed,
        folder=plan.folder.samples,
        stem=plan.folder.stem,
        control=control,
        with_vae=partial(_vae_in_memory, plan.family.vae, precision) if cached else nullcontext,
    )


def _sizes_of_file(plan: Plan) -> dict[str, torch.Tensor] | None:
    """Return the tensors whose layers and ranks the adapter takes, with ``dim_from_weights``."""
    config = plan.config
    if not (config.dim_from_weights and config.continue_from_lora):
        return None
    return kohya_tensors(config.continue_from_lora, family=config.model_type)


def _notices(plan: Plan) -> Iterator[Event]:
    for sentence in (*plan.warnings, *plan.found.facts.skipped, *plan.found.scan.notes):
        yield Notice("warning", sentence)
    if plan.resumed:
        yield Notice(
            "info", f"Going on after step {plan.resumed.progress.step} from {plan.resumed.source.name}."
        )


def _download(plan: Plan, control: Control) -> Iterator[Event]:
    """Fetch the weights of a hub model; leaving meanwhile keeps what has arrived."""
    for done, total in plan.family.download():
        yield PhaseProgress(DOWNLOADING, done, total)
        control.leave_if_stopping()


def _load_denoiser(plan: Plan, precision: Precision) -> Generator[Event, None, None]:
    yield from loading_denoiser(lambda: plan.family.load_denoiser(precision.device, precision.weights))


def _prepare_text(
    plan: Plan, dataset: Dataset, precision: Precision, peaks: PeakMeter, control: Control
) -> Generator[Event, None, LiveText | CachedText]:
    config, family = plan.config, plan.family
    live = LiveText(family, precision, skip=config.clip_layers_skipped, trains=config.trains_text_encoder)
    encoders = PartOnDemand.text(family.text, _known_parts(plan), precision)
    if not config.text_is_cached:
        yield from peaks.measured(CAPTIONS, encoders.load())
        return live
    if config.trains_text_encoder:
        yield from peaks.measured(CAPTIONS, _prepare_learners(plan, dataset, precision, control))
        return live
    work = all_text(plan, precision, live, encoders)
    caching = cache_text(plan, dataset, work, precision, control)
    cached = yield from peaks.measured(CAPTIONS, caching, counts=lambda: encoders.is_loaded)
    family.text.unload()
    return cached


def _prepare_learners(
    plan: Plan, dataset: Dataset, precision: Precision, control: Control
) -> Generator[Event, None, None]:
    """Keep what T5 makes of the captions, and load the text encoders that train beside it."""
    known, t5 = _known_parts(plan), plan.family.t5
    if t5 is not None:
        work = text_of_t5(t5, PartOnDemand.text(t5.encoder, known, precision))
        t5.answer_from((yield from cache_text(plan, dataset, work, precision, control)))
        t5.encoder.unload()
    yield from PartOnDemand.text(plan.family.learners, known, precision).load()


def _prepare_latents(
    plan: Plan, dataset: Dataset, precision: Precision, peaks: PeakMeter, control: Control
) -> Generator[Event, None, None]:
    vae = PartOnDemand.vae(plan.family.vae, _known_parts(plan), precision)
    if not plan.config.latents_are_cached:
        yield from peaks.measured(PICTURES, vae.load())
        return
    work = cache_latents(plan, dataset, vae, precision, control)
    cache = yield from peaks.measured(PICTURES, work, counts=lambda: vae.is_loaded)
    if cache.found_some:
        peaks.only_partly(PICTURES)
    dataset.use_latents(cache)
    plan.family.vae.unload()  # samples load it again


def _known_parts(plan: Plan) -> KnownParts:
    return KnownParts(cache_folder(plan.config.cache_dir) / PARTS)


@contextmanager
def _vae_in_memory(vae: Autoencoder, precision: Precision) -> Iterator[None]:
    """Have the autoencoder beside the denoiser for a while."""
    vae.load(precision.device, precision.weights)
    try:
        yield
    finally:
        vae.unload()


def _go_on(job: Job) -> None:
    """Load the state of a resumed run."""
    if not (saved := job.plan.resumed):
        return
    source = str(saved.source)
    job.adapter.load_state(saved.adapter, source=source)
    load_optimizer(job.optimizer, saved.optimizer, job.plan.config, source=source)
    job.scaler.load_state_dict(saved.scaler)
    job.first_step = saved.progress.step
    job.step, job.weights, job.states = saved.progress.step, saved.progress.weights, saved.progress.states
