"""The whole configuration: all sections in one flat, frozen class."""

import html
from collections.abc import Iterable, Mapping
from typing import Any, Self, cast

from pydantic import SecretStr, model_validator

from lora_widgets.catalog.families import FAMILIES
from lora_widgets.catalog.other_names import INSTEAD
from lora_widgets.config.buckets import Buckets
from lora_widgets.config.captions import Captions
from lora_widgets.config.dataset import Augmentation, Dataset, LossPerPicture
from lora_widgets.config.fields import FieldSpec, fields_by_name
from lora_widgets.config.learning_rate import LearningRate, Optimizer
from lora_widgets.config.lora import LoraStructure, LoraVariants
from lora_widgets.config.memory import Caching, Memory
from lora_widgets.config.monitoring import Logging
from lora_widgets.config.names import did_you_mean
from lora_widgets.config.noise import FlowMatching, NoiseAndLoss
from lora_widgets.config.saving import About, Checkpoints, Samples
from lora_widgets.config.setup import ModelFiles, Project
from lora_widgets.errors import ConfigError

# Other names under which people know a setting; accepted on input only.
ALIASES: Mapping[str, tuple[str, ...]] = {
    "model_path": ("pretrained_model_name_or_path",),
    "dataset_dir": ("train_data_dir",),
    "epochs": ("max_train_epochs",),
    "learning_rate": ("unet_lr", "text_encoder_lr"),
    "conditioning_data_dir": ("mask_data_dir",),
    "fp8_base": ("base_weights",),
}
_BASE_WEIGHTS_OF_SWITCH = {"true": "fp8", "false": "dense"}
"""What the switch `fp8_base` of other trainers means; other values are left to validation."""
_MASK = "••••••"


class TrainingConfig(  # pyright: ignore[reportIncompatibleVariableOverride] - tab and group are per section
    Project,
    ModelFiles,
    Dataset,
    Augmentation,
    LossPerPicture,
    LoraStructure,
    LoraVariants,
    Buckets,
    LearningRate,
    Optimizer,
    NoiseAndLoss,
    FlowMatching,
    Captions,
    Memory,
    Caching,
    Checkpoints,
    About,
    Samples,
    Logging,
):
    """Everything a training needs to know; frozen.

    Raises pydantic's ``ValidationError`` for an unknown name or a value out of range. Settings that are valid
    but do not go together are the business of ``check``.
    """

    @model_validator(mode="before")
    @classmethod
    def _known_by_other_names(cls, values: Any) -> Any:
        return canonical(cast("Mapping[str, object]", values)) if isinstance(values, Mapping) else values

    @property
    def file_stem(self) -> str:
        """Name of the files without ending."""
        return self.output_name or self.project_name

    @property
    def resolution_size(self) -> tuple[int, int]:
        """Resolution as (width, height) in pixels."""
        width, _, height = str(self.resolution).partition(",")
        return int(width), int(height or width)

    @property
    def area(self) -> int:
        """Pixels of a picture of that resolution."""
        width, height = self.resolution_size
        return width * height

    @property
    def trained_components(self) -> tuple[str, ...]:
        """The parts of the model that get an adapter: those whose rate is above 0."""
        parts = ("unet", *FAMILIES[self.model_type].text_encoders)
        return tuple(part for part in parts if self.rate_of(part) > 0)

    @property
    def trains_text_encoder(self) -> bool:
        """Whether a text encoder gets an adapter."""
        return any(part != "unet" for part in self.trained_components)

    @property
    def captions_can_be_kept(self) -> bool:
        """Whether there is a text encoder that does not train, so that its work can be cached."""
        return not self.trains_text_encoder or FAMILIES[self.model_type].has_t5

    @property
    def captions_are_kept(self) -> bool:
        """Whether captions are encoded once, before the loop, by all text encoders or by T5 alone."""
        return self.text_is_cached and self.captions_can_be_kept

    @property
    def loraplus_ratios(self) -> dict[str, float]:
        """The LoRA+ ratios that act, by the name of the rate that they multiply; 1 is none."""
        ratios = {
            "unet": self.loraplus_unet_lr_ratio or self.loraplus_lr_ratio,
            "text_encoder": self.loraplus_text_encoder_lr_ratio or self.loraplus_lr_ratio,
        }
        trained = {"unet": self.trains_unet, "text_encoder": self.trains_text_encoder}
        return {name: ratio for name, ratio in ratios.items() if trained[name] and ratio != 1.0}

    def with_changes(self, **changes: object) -> Self:
        """Return a copy with some settings changed, validated as a whole.

        Raises:
            ConfigError: a name is no setting.
            pydantic.ValidationError: a value cannot be.
        """
        changes = canonical(changes)
        for name in changes:
            if name not in type(self).model_fields:
                raise ConfigError(unknown_name(name))
        return type(self).model_validate({**dict(self), **changes})

    def changed(self) -> dict[str, object]:
        """Return the settings that differ from their defaults, in display order."""
        specs = fields_by_name(TrainingConfig)
        return {
            name: getattr(self, name)
            for name, spec in specs.items()
            if spec.required or getattr(self, name) != spec.default
        }

    def __repr_args__(self) -> Iterable[tuple[str, object]]:
        """Show what differs from the defaults; pydantic builds the repr from it."""
        return self.changed().items()

    def _repr_html_(self) -> str:
        """Show what differs from the defaults, as a table for notebooks; secrets stay hidden."""
        specs = fields_by_name(TrainingConfig)
        rows = "".join(_html_row(specs[name], value) for name, value in self.changed().items())
        return (
            "<table><caption>Settings that differ from the defaults</caption>"
            f"<tr><th>Setting</th><th>Value</th><th>Default</th></tr>{rows}</table>"
        )


def canonical(values: Mapping[str, object]) -> dict[str, object]:
    """Replace other names of settings by their own; what is also given by its own name wins."""
    result = dict(values)
    for alias, names in ALIASES.items():
        if alias in result:
            value = result.pop(alias)
            if alias == "fp8_base" and isinstance(value, str | bool):
                value = _BASE_WEIGHTS_OF_SWITCH.get(str(value).lower(), value)
            for name in names:
                result.setdefault(name, value)
    if result.get("dataset_config"):
        result.setdefault("train_data_dir", "")
    return result


def unknown_name(name: str) -> str:
    """Say that ``name`` is no setting, and which was probably meant, or what to set in its place."""
    known = [*TrainingConfig.model_fields, *ALIASES]
    instead = INSTEAD.get(name)
    return f"`{name[:80]}` is not a setting.{f' {instead}' if instead else did_you_mean(name, known)}"


def _html_row(spec: FieldSpec, value: object) -> str:
    shown = _MASK if isinstance(value, SecretStr) else str(value)
    default = "" if spec.required else str(spec.default)
    lines = (html.escape(text).replace("\n", "<br>") for text in (spec.name, shown, default))
    cells = (f"<td style='text-align: left'>{text}</td>" for text in lines)  # notebooks align to the right
    return f"<tr title='{html.escape(spec.tooltip, quote=True)}'>{''.join(cells)}</tr>"
