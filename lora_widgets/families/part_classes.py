"""Which class of diffusers or transformers each part of a base model is, and building one without weights."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from importlib import import_module
from typing import Any

import torch
from torch import nn


@dataclass(frozen=True)
class PartClass:
    """A class by its name in ``module``; it is imported when it is used."""

    module: str
    name: str

    @property
    def imported(self) -> type[Any]:
        """The class itself."""
        return getattr(import_module(self.module), self.name)

    @property
    def is_of_transformers(self) -> bool:
        """Whether it is transformers' class; the others are diffusers'."""
        return self.module.startswith("transformers")

    def without_memory(self, config: Mapping[str, Any]) -> nn.Module:
        """Return a model whose tensors have names and shapes and nothing else."""
        with torch.device("meta"):
            return self._new(config)

    def empty(self, config: Mapping[str, Any]) -> nn.Module:
        """Return a model whose tensors are without memory, but for those that no file holds.

        Those it computes itself. What files hold is not computed: the table of SD3 alone takes seconds.
        """
        model = self.without_memory(config)
        in_files = model.state_dict().keys()
        if all(name in in_files for name, _ in model.named_buffers()):
            return model
        from accelerate import init_empty_weights

        with init_empty_weights(include_buffers=False):
            return self._new(config)

    def _new(self, config: Mapping[str, Any]) -> nn.Module:
        kind = self.imported
        with _quiet_config():
            if self.is_of_transformers:
                return kind(kind.config_class.from_dict(dict(config)))
            return kind.from_config(dict(config))


UNET = PartClass("diffusers.models.unets.unet_2d_condition", "UNet2DConditionModel")
AUTOENCODER = PartClass("diffusers.models.autoencoders.autoencoder_kl", "AutoencoderKL")
FLUX_TRANSFORMER = PartClass("diffusers.models.transformers.transformer_flux", "FluxTransformer2DModel")
SD3_TRANSFORMER = PartClass("diffusers.models.transformers.transformer_sd3", "SD3Transformer2DModel")
CLIP = PartClass("transformers", "CLIPTextModel")
CLIP_WITH_PROJECTION = PartClass("transformers", "CLIPTextModelWithProjection")
T5 = PartClass("transformers", "T5EncoderModel")


@contextmanager
def _quiet_config() -> Iterator[None]:
    """Let no library comment on configurations, which name options of all versions."""
    from diffusers.utils import logging

    before = logging.get_verbosity()
    logging.set_verbosity_error()
    try:
        yield
    finally:
        logging.set_verbosity(before)
