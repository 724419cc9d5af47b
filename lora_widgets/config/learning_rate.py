"""Tab Learning Rate: rates, schedule and optimizer."""

from typing import Annotated

from pydantic import AfterValidator, BeforeValidator, Field

from lora_widgets.catalog.families import FAMILIES
from lora_widgets.catalog.lr_schedules import LR_SCHEDULES, ScheduleShape, schedules_reading
from lora_widgets.catalog.optimizers import OPTIMIZERS, OptimizerRow
from lora_widgets.config.arguments import arguments_text, parse_arguments
from lora_widgets.config.fields import OneOf, OnlyWhen, Ui
from lora_widgets.config.section import Section
from lora_widgets.config.tabs import Tab


def _parsable(text: str | None) -> str | None:
    parse_arguments(text)
    return text


def _when_schedule_reads(setting: str) -> OnlyWhen:
    return OnlyWhen("lr_scheduler", *schedules_reading(setting))


def _when_family_has(text_encoder: str) -> OnlyWhen:
    return OnlyWhen(
        "model_type", *(name for name, row in FAMILIES.items() if text_encoder in row.text_encoders)
    )


class LearningRate(Section, tab=Tab.LEARNING_RATE, group="Learning rate"):
    """How fast each part learns, and how that changes over the run."""

    unet_lr: Annotated[float, Field(ge=0, le=100), Ui("UNet rate")] = 5e-4
    """Learning rate of the picture model's adapter; 0 leaves it untrained. Higher learns faster and breaks
    more easily; usual are 1e-4 to 5e-4."""

    text_encoder_lr: Annotated[float, Field(ge=0, le=100), Ui("Text encoder rate")] = 1e-4
    """Learning rate of the text encoder's adapter; 0 leaves it untrained. At most half of unet_lr is
    usual."""

    text_encoder_1_lr: Annotated[
        float | None, Field(ge=0, le=100), Ui("Rate of CLIP-L"), _when_family_has("text_encoder_1")
    ] = None
    """Learning rate of the first text encoder's adapter; 0 leaves it untrained and out of the file. Leave it
    empty for text_encoder_lr."""

    text_encoder_2_lr: Annotated[
        float | None, Field(ge=0, le=100), Ui("Rate of CLIP-G"), _when_family_has("text_encoder_2")
    ] = None
    """Learning rate of the second text encoder's adapter; 0 leaves it untrained and out of the file. Leave it
    empty for text_encoder_lr."""

    loraplus_lr_ratio: Annotated[float, Field(gt=0, le=1000), Ui("LoRA+ ratio")] = 1.0
    """How many times faster the second matrix of each pair, lora_up, learns (LoRA+, arXiv:2402.12354). More
    learns faster and breaks more easily; 1 turns it off, usual are 4 to 16."""

    loraplus_unet_lr_ratio: Annotated[float | None, Field(gt=0, le=1000), Ui("LoRA+ ratio, UNet")] = None
    """LoRA+ ratio of the picture model's adapter. Leave it empty for loraplus_lr_ratio."""

    loraplus_text_encoder_lr_ratio: Annotated[
        float | None, Field(gt=0, le=1000), Ui("LoRA+ ratio, text encoder")
    ] = None
    """LoRA+ ratio of the text encoder's adapter. Leave it empty for loraplus_lr_ratio."""

    lr_scheduler: Annotated[str, OneOf(LR_SCHEDULES), Ui("Schedule")] = "cosine"
    """How the rates change from the first step to the last."""

    lr_scheduler_number: Annotated[
        int, Field(ge=1, le=10_000), Ui("Cycles"), _when_schedule_reads("lr_scheduler_number")
    ] = 3
    """Number of cycles of a schedule that restarts. The schedules with a lowest rate swing so many half
    waves, 1 means one way down; usual are 1 to 5."""

    lr_warmup_ratio: Annotated[float, Field(ge=0, lt=1), Ui("Warm-up share")] = 0.05
    """Share of all steps over which the rates rise from 0. More is gentler at the start; usual are 0 to
    0.1."""

    lr_warmup_steps: Annotated[int, Field(ge=0, le=10_000_000), Ui("Warm-up", unit="steps")] = 0
    """Number of steps over which the rates rise from 0; above 0 it wins over lr_warmup_ratio."""

    lr_power: Annotated[float, Field(gt=0, le=100), Ui("Power"), _when_schedule_reads("lr_power")] = 1.0
    """Exponent of the polynomial schedule. 1 is a straight line, larger falls faster at first; usual are 1
    and 2."""

    lr_scheduler_min_lr_ratio: Annotated[
        float | None,
        Field(ge=0, le=1),
        Ui("Lowest rate, share"),
        _when_schedule_reads("lr_scheduler_min_lr_ratio"),
    ] = None
    """Lowest rate as a share of the full one, for schedules that do not go to 0. 0.1 is usual."""

    lr_decay_steps: Annotated[
        float, Field(ge=0, le=10_000_000), Ui("Decay", unit="steps"), _when_schedule_reads("lr_decay_steps")
    ] = 0.0
    """Steps at the end over which warmup_stable_decay falls; below 1 it is a share of all steps. Usual are
    0.1 to 0.3."""

    lr_scheduler_timescale: Annotated[
        int,
        Field(ge=0, le=10_000_000),
        Ui("Timescale", unit="steps"),
        _when_schedule_reads("lr_scheduler_timescale"),
    ] = 0
    """How slowly inverse_sqrt falls: after three times as many steps the rate is half. 0 means the
    warm-up."""

    lr_scheduler_args: Annotated[
        str | None,
        BeforeValidator(arguments_text),
        AfterValidator(_parsable),
        Ui("Schedule arguments", multiline=True),
        _when_schedule_reads("lr_scheduler_args"),
    ] = None
    """Further arguments of the schedule, as name=value or JSON. piecewise_constant reads
    step_rules=1:200,0.5:600,0.1; rex reads gamma, d and min_lr."""

    @property
    def trains_unet(self) -> bool:
        """Whether the picture model gets an adapter."""
        return self.unet_lr > 0

    def rate_of(self, component: str) -> float:
        """Return the learning rate of a part of the model, such as "unet" or "text_encoder_2"."""
        if component == "unet":
            return self.unet_lr
        own = {"text_encoder_1": self.text_encoder_1_lr, "text_encoder_2": self.text_encoder_2_lr}
        rate = own.get(component)
        return self.text_encoder_lr if rate is None else rate

    @property
    def lr_scheduler_arguments(self) -> dict[str, object]:
        """The further arguments of the schedule, parsed."""
        return parse_arguments(self.lr_scheduler_args)

    def warmup_steps_of(self, total: int) -> int:
        """Count the warm-up steps of a run of ``total`` steps; 0 for a schedule that has none."""
        if not LR_SCHEDULES[self.lr_scheduler].warms_up:
            return 0
        return self.lr_warmup_steps or int(self.lr_warmup_ratio * total)

    def schedule_shape(self, total: int, *, base_lr: float) -> ScheduleShape:
        """Describe the schedule for a run of ``total`` steps, as the catalog's functions want it."""
        decay = self.lr_decay_steps
        return ScheduleShape(
            total=total,
            warmup=self.warmup_steps_of(total),
            cycles=self.lr_scheduler_number,
            power=self.lr_power,
            min_ratio=self.lr_scheduler_min_lr_ratio or 0.0,
            decay_steps=int(decay * total) if decay < 1 else int(decay),
            timescale=self.lr_scheduler_timescale,
            args=self.lr_scheduler_arguments,
            base_lr=base_lr,
        )


class Optimizer(Section, tab=Tab.LEARNING_RATE, group="Optimizer"):
    """How the weights follow the gradients."""

    optimizer_type: Annotated[str, OneOf(OPTIMIZERS), Ui("Optimizer")] = "AdamW8bit"
    """The optimizer. AdamW8bit needs a quarter of AdamW's memory with practically the same result."""

    weight_decay: Annotated[float, Field(ge=0, le=1), Ui("Weight decay")] = 0.01
    """How strongly weights are pulled towards zero. More works against learning by heart; usual are 0 to
    0.1."""

    gradient_accumulation_steps: Annotated[
        int, Field(ge=1, le=10_000), Ui("Accumulation", unit="batches")
    ] = 1
    """Batches whose gradients are averaged into one step. Works like a larger batch without more memory;
    usual are 1 to 8."""

    max_grad_norm: Annotated[float, Field(ge=0, le=1_000_000), Ui("Gradient clipping")] = 1.0
    """Longest gradient; longer ones are shortened to it. Smaller is steadier and slower; 1 is usual, 0 turns
    it off."""

    optimizer_args: Annotated[
        str | None,
        BeforeValidator(arguments_text),
        AfterValidator(_parsable),
        Ui("Optimizer arguments", multiline=True),
    ] = None
    """Further arguments of the optimizer, as name=value or JSON: betas=0.9,0.99 eps=1e-6."""

    @property
    def optimizer(self) -> OptimizerRow:
        """What the catalog says about the optimizer."""
        return OPTIMIZERS[self.optimizer_type]

    @property
    def optimizer_arguments(self) -> dict[str, object]:
        """The further arguments of the optimizer, parsed."""
        return parse_arguments(self.optimizer_args)

    @property
    def optimizer_values(self) -> dict[str, object]:
        """All arguments of the optimizer beside its rates: the further ones win over the weight decay."""
        return {**self.optimizer.defaults, "weight_decay": self.weight_decay, **self.optimizer_arguments}

    @property
    def steps_itself(self) -> bool:
        """Whether the optimizer decides its steps alone, so that neither rates nor schedule act."""
        relative = self.optimizer.relative
        return bool(relative and self.optimizer_values[relative])
