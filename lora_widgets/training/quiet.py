"""Keeping notes of libraries from the user that say nothing about the training."""

import logging

_LOGGERS = (
    # On processors with bf16 it looks for an optional package of 4-bit kernels, and reports its absence.
    "bitsandbytes.backends.cpu.ops",
    # It reports that image processors fall back to Pillow without torchvision; training uses none of them.
    "transformers.utils.import_utils",
    # It advises against a change of number formats that it names no reason for: "float32: []".
    "diffusers.models.modeling_utils",
)


def hush_libraries() -> None:
    """Let these loggers report errors only; to be called before the libraries are imported."""
    for name in _LOGGERS:
        logging.getLogger(name).setLevel(logging.ERROR)
