"""Where and in which number formats training computes; decided once, here."""

from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass, replace
from typing import Any

import torch

from lora_widgets.catalog.formats import PRECISIONS, SAVE_PRECISIONS
from lora_widgets.config.memory import Memory
from lora_widgets.events import Notice

VAE_OVERFLOWS = Notice(
    "warning",
    "The VAE overflows in half precision, so it computes in full precision from now on. Set `no_half_vae` to "
    "True to begin so.",
)


@dataclass(frozen=True)
class Precision:
    """The device, the frozen weights' dtype, and the dtype of autocast (None: no autocast).

    ``adapter`` is the dtype of the adapter's weights, their gradients and the optimizer's state.
    """

    device: torch.device
    weights: torch.dtype
    autocast: torch.dtype | None
    adapter: torch.dtype = torch.float32

    @contextmanager
    def computing(self) -> Iterator[None]:
        """Run forward passes in the chosen format."""
        if self.autocast is None:
            with nullcontext():
                yield
        else:
            with torch.autocast(self.device.type, dtype=self.autocast):
                yield

    def new_scaler(self) -> torch.amp.GradScaler:
        """Return a gradient scaler, which does something for fp16 only."""
        kind = _ScalerOfHalves if self.adapter is torch.float16 else torch.amp.GradScaler
        return kind(self.device.type, enabled=self.autocast is torch.float16)


class _ScalerOfHalves(torch.amp.GradScaler):
    """A gradient scaler that lets gradients be fp16 themselves, which torch's refuses without a setting."""

    def _unscale_grads_(self, optimizer: Any, inv_scale: Any, found_inf: Any, allow_fp16: bool) -> Any:  # noqa: FBT001
        del allow_fp16
        return super()._unscale_grads_(optimizer, inv_scale, found_inf, True)  # noqa: FBT003


def choose_device() -> torch.device:
    """Return CUDA, else Apple's GPU, else the processor."""
    if torch.cuda.is_available():
        return torch.device("cuda")
    if torch.backends.mps.is_available():
        return torch.device("mps")
    return torch.device("cpu")


def has_cuda() -> bool:
    """Return whether training will run on CUDA."""
    return choose_device().type == "cuda"


def has_bf16() -> bool | None:
    """Return whether the CUDA device computes in bf16; None without one."""
    return torch.cuda.is_bf16_supported() if has_cuda() else None


def free_gpu_bytes() -> int | None:
    """Return what programs can still take of the CUDA device's memory; None without one."""
    return torch.cuda.mem_get_info()[0] if has_cuda() else None


def precision_of(mixed_precision: str) -> Precision:
    """Return the formats a ``mixed_precision`` setting ("no", "fp16", "bf16") stands for."""
    dtype: torch.dtype = getattr(torch, PRECISIONS[mixed_precision].dtype)
    return Precision(choose_device(), dtype, None if dtype is torch.float32 else dtype)


def precision_for(settings: Memory) -> Precision:
    """Return the formats a run computes in, and the one of its adapter."""
    precision = precision_of(settings.mixed_precision)
    halves = (settings.full_fp16, torch.float16), (settings.full_bf16, torch.bfloat16)
    full = any(asked and dtype is precision.autocast for asked, dtype in halves)
    return replace(precision, adapter=precision.weights if full else torch.float32)


def save_dtype(save_precision: str) -> torch.dtype:
    """Return the dtype of saved tensors for a ``save_precision`` setting."""
    return getattr(torch, SAVE_PRECISIONS[save_precision].dtype)
