"""What resuming needs: step, adapter, optimizer, scaler. Everything else follows from the step.

A state is a folder: ``state.json``, ``adapter.safetensors`` (float32), ``optimizer.pt``, ``config.toml``.
"""

import json
import os
import shutil
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file, save_file
from torch import Tensor

from lora_widgets.catalog.lora_types import LORA_TYPES
from lora_widgets.config.files import save_config
from lora_widgets.config.lora import LoraVariants
from lora_widgets.config.training_config import TrainingConfig
from lora_widgets.errors import StateError
from lora_widgets.training.folder import RunFolder

VERSION = 1
_IDENTITY = (
    "model_type",
    "pretrained_model_name_or_path",
    "vae_path",
    "lora_type",
    "network_dim",
    "network_alpha",
    "conv_dim",
    "conv_alpha",
    "factor",
    "preset",
    "train_norm",
    "block_dims",
    "block_alphas",
    "conv_block_dims",
    "conv_block_alphas",
    *LoraVariants.model_fields,
    "optimizer_type",
    "loraplus_lr_ratio",
    "loraplus_unet_lr_ratio",
    "loraplus_text_encoder_lr_ratio",
    "seed",
    "resolution",
    "train_batch_size",
    "partial_batches",
    "gradient_accumulation_steps",
)
"""Settings that make a run the run it is: with another value, going on would not be a continuation."""


@dataclass(frozen=True)
class Progress:
    """How far a run is; ``weights`` and ``states`` are the names it wrote by epoch and may delete again."""

    step: int
    identity: Mapping[str, str]
    weights: tuple[str, ...] = ()
    states: tuple[str, ...] = ()
    version: int = VERSION


@dataclass(frozen=True)
class Saved:
    """A state as read from disk."""

    progress: Progress
    adapter: dict[str, Tensor]
    optimizer: dict[str, Any]
    scaler: dict[str, Any]
    source: Path = field(compare=False)


def identity_of(config: TrainingConfig, bucket_counts: tuple[int, ...]) -> dict[str, str]:
    """Return what must be equal for a run to be continued, as text."""
    of_types = frozenset().union(*(row.reads for row in LORA_TYPES.values()))
    idle = of_types - LORA_TYPES[config.lora_type].reads
    identity = {name: str(getattr(config, name)) for name in _IDENTITY if name not in idle}
    return identity | {"pictures per bucket": str(bucket_counts)}


def write_state(
    path: Path,
    progress: Progress,
    *,
    adapter: Mapping[str, Tensor],
    optimizer: Mapping[str, Any],
    scaler: Mapping[str, Any],
    config: TrainingConfig,
) -> None:
    """Write a state folder; a crash in between leaves the older one of this name whole."""
    fresh = path.with_name(f".{path.name}.part")
    shutil.rmtree(fresh, ignore_errors=True)
    fresh.mkdir(parents=True)
    save_file(
        {name: t.detach().cpu().contiguous() for name, t in adapter.items()}, fresh / "adapter.safetensors"
    )
    torch.save({"optimizer": dict(optimizer), "scaler": dict(scaler)}, fresh / "optimizer.pt")
    save_config(config, fresh / "config.toml")
    (fresh / "state.json").write_text(json.dumps(asdict(progress), indent=1), encoding="utf-8")
    for file in fresh.iterdir():
        _flush(file)
    older = path.with_name(f".{path.name}.old")
    shutil.rmtree(older, ignore_errors=True)
    if path.exists():
        path.replace(older)
    fresh.replace(path)
    shutil.rmtree(older, ignore_errors=True)


def read_progress(path: Path) -> Progress:
    """Return how far a state folder is.

    Raises:
        StateError: it is no state folder, or one of another version.
    """
    try:
        content = json.loads((path / "state.json").read_text(encoding="utf-8"))
        if content["version"] != VERSION:
            raise StateError(
                f"The state {path} has version {content['version']}, but this program reads version "
                f"{VERSION}. "
                "Resume it with the program that wrote it, or set `continue_from_lora` to its last weights."
            )
        return Progress(
            step=int(content["step"]),
            identity=dict(content["identity"]),
            weights=tuple(content["weights"]),
            states=tuple(content["states"]),
        )
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise StateError(
            f"`resume` is {str(path)!r}, which is no complete state folder ({error}). Choose a folder "
            f"whose name "
            'ends with "-state", or "latest".'
        ) from error


def read_state(path: Path) -> Saved:
    """Return a whole state.

    Raises:
        StateError: something in it is missing or damaged.
    """
    progress = read_progress(path)
    try:
        adapter = load_file(path / "adapter.safetensors")
        rest = torch.load(path / "optimizer.pt", map_location="cpu", weights_only=True)
        return Saved(progress, adapter, rest["optimizer"], rest["scaler"], path)
    except Exception as error:  # torch and safetensors raise many kinds for a damaged file
        raise StateError(f"The state {path} is damaged ({error}). Resume from an older one.") from error


def find_state(resume: str, folder: RunFolder) -> Path:
    """Return the state folder a ``resume`` setting means: "latest", or a path.

    Raises:
        StateError: there is none.
    """
    if resume != "latest":
        return Path(resume)
    found = folder.states()
    if not found:
        raise StateError(
            f"`resume` is 'latest', but {folder.path} holds no state of a run called {folder.stem!r}. Check "
            "`output_dir` and `output_name`, or leave `resume` empty to start afresh."
        )
    return max(found, key=lambda path: (read_progress(path).step, path.stat().st_mtime))


def refuse_differences(saved: Progress, now: Mapping[str, str], *, source: Path) -> None:
    """Make sure that the run that is resumed is the run that was stopped.

    Raises:
        StateError: a setting that defines the run differs; the text lists all that do.
    """
    differing = [
        f"{name}: {saved.identity.get(name)} then, {value} now"
        for name, value in now.items()
        if saved.identity.get(name) != value
    ]
    if differing:
        raise StateError(
            f"The run in {source} cannot go on with these settings, because they differ: "
            f"{'; '.join(differing)}. "
            "Set them back, or start a new run with `continue_from_lora`."
        )


def delete_folder(path: Path) -> None:
    """Delete a state folder; it gets a hidden name first, so that half of it is never taken for a state."""
    if path.exists():
        doomed = path.with_name(f".{path.name}.old")
        shutil.rmtree(doomed, ignore_errors=True)
        path.replace(doomed)
        shutil.rmtree(doomed, ignore_errors=True)


def _flush(file: Path) -> None:
    with file.open("rb") as opened:
        os.fsync(opened.fileno())
