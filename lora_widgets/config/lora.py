"""Tab LoRA: the structure of the adapter."""

from typing import Annotated

from pydantic import Field

from lora_widgets.catalog.lora_types import LORA_TYPES, types_reading
from lora_widgets.config.fields import NotYet, OneOf, OnlyWhen, Ui
from lora_widgets.config.section import Section
from lora_widgets.config.tabs import Tab


class LoraStructure(Section, tab=Tab.LORA, group="Adapter"):
    """What is attached to the base model, and how large it is."""

    lora_type: Annotated[str, OneOf(LORA_TYPES), Ui("LoRA type")] = "LoRA"
    """Kind of adapter. This version trains LoRA, which every program can load."""

    network_dim: Annotated[int, Field(ge=1, le=1024), Ui("Dimension (rank)")] = 16
    """Rank of the matrices: how much the adapter can hold. Larger learns more detail and makes larger files;
    usual are 4 to 64."""

    network_alpha: Annotated[float, Field(ge=0, le=1024), Ui("Alpha")] = 8.0
    """Strength: the adapter's output is scaled by alpha / network_dim. Half of the rank is usual; larger acts
    like a higher learning rate. 0 means the same as network_dim."""

    network_dropout: Annotated[float, Field(ge=0, lt=1), Ui("Dropout")] = 0.0
    """Share of the adapter's inner values set to zero at random in each step. Works against learning by
    heart; usual are 0 to 0.3."""

    conv_dim: Annotated[
        int,
        Field(ge=0, le=1024),
        Ui("Conv dimension"),
        OnlyWhen("lora_type", *types_reading("conv_dim")),
        NotYet(),
    ] = 16
    """Rank for convolutions, which hold textures and details; 0 leaves them out."""

    conv_alpha: Annotated[
        float,
        Field(ge=0, le=1024),
        Ui("Conv alpha"),
        OnlyWhen("lora_type", *types_reading("conv_alpha")),
        NotYet(),
    ] = 8.0
    """Strength for convolutions: scaled by conv_alpha / conv_dim."""

    factor: Annotated[
        int,
        Field(ge=-1, le=4096),
        Ui("LoKR factor"),
        OnlyWhen("lora_type", *types_reading("factor")),
        NotYet(),
    ] = -1
    """Size of LoKR's small matrix; -1 splits evenly. A larger factor gives a smaller adapter; usual are 4 to
    16."""

    dim_from_weights: Annotated[bool, Ui("Dimension from file"), NotYet()] = False
    """Take rank and alpha from the file given in continue_from_lora."""

    train_norm: Annotated[
        bool, Ui("Train norms"), OnlyWhen("lora_type", *types_reading("train_norm")), NotYet()
    ] = False
    """Also train the normalisation layers. Such files load in fewer programs."""

    block_dims: Annotated[
        str, Ui("Block dimensions"), OnlyWhen("lora_type", *types_reading("block_dims")), NotYet()
    ] = ""
    """Rank for each block of the UNet, separated by commas: 25 for SD1.5, 23 for SDXL. Empty means
    network_dim everywhere."""

    block_alphas: Annotated[
        str, Ui("Block alphas"), OnlyWhen("lora_type", *types_reading("block_alphas")), NotYet()
    ] = ""
    """Alpha for each block, as many as block_dims. Empty means network_alpha everywhere."""

    preset: Annotated[str, Ui("Module preset"), OnlyWhen("lora_type", *types_reading("preset")), NotYet()] = (
        ""
    )
    """Which layers get an adapter, by the name of a preset. Empty means the usual layers of the type."""

    @property
    def alpha(self) -> float:
        """The alpha in effect: ``network_alpha``, or the rank where that is 0."""
        return self.network_alpha or float(self.network_dim)
