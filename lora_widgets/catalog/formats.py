"""File formats, number formats and experiment trackers."""

from dataclasses import dataclass


@dataclass(frozen=True)
class FormatRow:
    """One format of the adapter file; ``suffix`` with its dot, empty where it is a folder."""

    name: str
    suffix: str
    summary: str


@dataclass(frozen=True)
class DialectRow:
    """One way to name the tensors of an adapter file."""

    name: str
    summary: str
    aliases: tuple[str, ...] = ()


@dataclass(frozen=True)
class PrecisionRow:
    """One number format; ``dtype`` is the attribute of torch, for example "float16"."""

    name: str
    dtype: str
    summary: str
    aliases: tuple[str, ...] = ()


@dataclass(frozen=True)
class TrackerRow:
    """One experiment tracker and the package that it needs."""

    name: str
    package: str
    summary: str


_FORMATS = (
    FormatRow("safetensors", ".safetensors", "Safe to share, carries metadata, loads everywhere."),
    FormatRow("ckpt", ".ckpt", "A pickle without metadata, for old tools."),
    FormatRow("pt", ".pt", "A pickle without metadata, for old tools."),
    FormatRow(
        "diffusers", "", "A folder with pytorch_lora_weights.safetensors, named as diffusers names it."
    ),
)
_DIALECTS = (
    DialectRow("kohya", "lora_unet_... names, which nearly every program reads."),
    DialectRow(
        "diffusers",
        "unet. and transformer. names as diffusers and PEFT write them; not for every type.",
        aliases=("peft",),
    ),
    DialectRow("native", "diffusion_model. names after the publisher's own code, for ComfyUI."),
)
_BF16 = PrecisionRow(
    "bf16", "bfloat16", "Half the memory with the range of full precision; needs a recent GPU."
)
_FP16 = PrecisionRow("fp16", "float16", "Half the memory; small gradients need scaling, which is automatic.")

SAVE_FORMATS: dict[str, FormatRow] = {row.name: row for row in _FORMATS}

DIALECTS: dict[str, DialectRow] = {row.name: row for row in _DIALECTS}

PRECISIONS: dict[str, PrecisionRow] = {
    "no": PrecisionRow("no", "float32", "Full precision: exact and slow.", aliases=("fp32", "none")),
    "fp16": _FP16,
    "bf16": _BF16,
}

SAVE_PRECISIONS: dict[str, PrecisionRow] = {
    "float": PrecisionRow("float", "float32", "Full precision: twice the file.", aliases=("fp32", "float32")),
    "fp16": _FP16,
    "bf16": _BF16,
}

TRACKERS: dict[str, TrackerRow] = {
    "tensorboard": TrackerRow("tensorboard", "tensorboard", "Event files for TensorBoard."),
    "wandb": TrackerRow("wandb", "wandb", "Weights & Biases, online."),
    "all": TrackerRow("all", "tensorboard, wandb", "Both."),
}
