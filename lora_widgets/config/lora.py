"""Tab LoRA: the structure of the adapter."""

from typing import Annotated

from pydantic import Field

from lora_widgets.catalog.lora_types import LORA_TYPES, types_reading
from lora_widgets.config.fields import OneOf, OnlyWhen, Ui
from lora_widgets.config.section import Section
from lora_widgets.config.tabs import Tab


def _when_type_reads(setting: str) -> OnlyWhen:
    return OnlyWhen("lora_type", *types_reading(setting))


class LoraStructure(Section, tab=Tab.LORA, group="Adapter"):
    """What is attached to the base model, and how large it is."""

    lora_type: Annotated[str, OneOf(LORA_TYPES), Ui("LoRA type")] = "LoRA"
    """Kind of adapter. Every program loads LoRA and most load LoCon; the others need ComfyUI, A1111 or the
    like."""

    network_dim: Annotated[int, Field(ge=1, le=1024), Ui("Dimension (rank)")] = 16
    """Rank of the matrices: how much the adapter can hold. Larger learns more detail and makes larger files;
    usual are 4 to 64. For Diag-OFT and BOFT it is the size of the blocks that turn."""

    network_alpha: Annotated[float, Field(ge=0, le=1024), Ui("Alpha")] = 8.0
    """Strength: the adapter's output is scaled by alpha / network_dim. Half of the rank is usual; larger acts
    like a higher learning rate. 0 means the same as network_dim."""

    conv_dim: Annotated[int, Field(ge=0, le=1024), Ui("Conv dimension"), _when_type_reads("conv_dim")] = 16
    """Rank for convolutions, which hold textures and details; 0 leaves them out."""

    conv_alpha: Annotated[float, Field(ge=0, le=1024), Ui("Conv alpha"), _when_type_reads("conv_alpha")] = 8.0
    """Strength for convolutions: scaled by conv_alpha / conv_dim. 0 means the same as conv_dim."""

    factor: Annotated[int, Field(ge=-1, le=4096), Ui("LoKR factor"), _when_type_reads("factor")] = -1
    """Size of LoKR's small matrix; -1 splits evenly. A larger factor gives a smaller adapter; usual are 4 to
    16."""

    preset: Annotated[str, Ui("Layers"), _when_type_reads("preset")] = ""
    """Which layers get an adapter; empty means the usual layers of the type. By name: full, full-lin,
    attn-mlp, attn-only, unet-only, unet-transformer-only, unet-convblock-only, ia3; or the path of a LyCORIS
    preset file (.toml)."""

    train_norm: Annotated[bool, Ui("Train norms"), _when_type_reads("train_norm")] = False
    """Also train the normalisation layers. Such files load in fewer programs."""

    dim_from_weights: Annotated[bool, Ui("Dimension from file"), _when_type_reads("dim_from_weights")] = False
    """Take the layers with their rank and alpha from the file given in continue_from_lora."""

    block_dims: Annotated[str, Ui("Block dimensions"), _when_type_reads("block_dims")] = ""
    """Rank for each block of the UNet, separated by commas: 25 for SD1.5, 23 for SDXL. 0 leaves a block out;
    empty means network_dim everywhere."""

    block_alphas: Annotated[str, Ui("Block alphas"), _when_type_reads("block_alphas")] = ""
    """Alpha for each block, as many as block_dims. Empty means network_alpha everywhere."""

    conv_block_dims: Annotated[
        str, Ui("Block dimensions of convolutions"), _when_type_reads("conv_block_dims")
    ] = ""
    """Rank of convolutions for each block, as many as block_dims. Empty means conv_dim everywhere."""

    conv_block_alphas: Annotated[
        str, Ui("Block alphas of convolutions"), _when_type_reads("conv_block_alphas")
    ] = ""
    """Alpha of convolutions for each block, as many as block_dims. Empty means conv_alpha everywhere."""

    @property
    def alpha(self) -> float:
        """The alpha in effect: ``network_alpha``, or the rank where that is 0."""
        return self.network_alpha or float(self.network_dim)

    @property
    def alpha_of_convolutions(self) -> float:
        """The alpha in effect for kernels larger than 1x1: ``conv_alpha``, or the rank where that is 0."""
        return self.conv_alpha or float(self.conv_dim)


class LoraVariants(Section, tab=Tab.LORA, group="Dropout and variants"):
    """What keeps the adapter general, and finer choices that some of the types offer."""

    network_dropout: Annotated[float, Field(ge=0, lt=1), Ui("Dropout")] = 0.0
    """Share of the adapter's inner values set to zero at random in each step. Works against learning by
    heart; usual are 0 to 0.3."""

    rank_dropout: Annotated[float, Field(ge=0, lt=1), Ui("Rank dropout")] = 0.0
    """Share of the ranks that are left out at random in each step. Usual are 0 to 0.3. Types without ranks
    leave out rows of the weights."""

    module_dropout: Annotated[float, Field(ge=0, lt=1), Ui("Module dropout")] = 0.0
    """Share of the adapted layers that are left out at random in each step. Usual are 0 to 0.3."""

    scale_weight_norms: Annotated[
        float, Field(ge=0, le=1000), Ui("Largest weight norm"), _when_type_reads("scale_weight_norms")
    ] = 0.0
    """Limit for the size of what is learned in each layer; what exceeds it is scaled down after each step.
    Keeps strong layers from taking over; 1 is usual, 0 means no limit."""

    use_tucker: Annotated[bool, Ui("Tucker core"), _when_type_reads("use_tucker")] = False
    """Hold the kernel of convolutions in a small core, which makes files smaller."""

    use_scalar: Annotated[bool, Ui("Learnt strength"), _when_type_reads("use_scalar")] = False
    """Start from random weights behind a strength of zero that is learnt, too. Learning begins slower."""

    rs_lora: Annotated[bool, Ui("Rank-stabilised"), _when_type_reads("rs_lora")] = False
    """Scale by alpha / sqrt(rank), so that high ranks learn as strongly as low ones. It multiplies the
    effect: lower network_alpha or the learning rate (arXiv:2312.03732)."""

    dora_wd: Annotated[bool, Ui("Size and direction apart"), _when_type_reads("dora_wd")] = False
    """Learn the size of the weights apart from their direction, as DoRA does. Slower."""

    wd_on_output: Annotated[bool, Ui("Size by output"), _when_type_reads("wd_on_output")] = True
    """Learn one size for each output of a layer (on), or for each input (off). Most programs expect on."""

    decompose_both: Annotated[bool, Ui("Decompose both"), _when_type_reads("decompose_both")] = False
    """Make LoKR's small matrix a product of low rank, too, where it is large enough."""

    full_matrix: Annotated[bool, Ui("Full matrices"), _when_type_reads("full_matrix")] = False
    """Keep both of LoKR's matrices whole, whatever network_dim is. Larger files, more detail."""

    unbalanced_factorization: Annotated[
        bool, Ui("Unbalanced"), _when_type_reads("unbalanced_factorization")
    ] = False
    """Give LoKR's small matrix the larger part of the outputs. Larger adapters of another shape."""

    block_size: Annotated[
        int, Field(ge=1, le=1024), Ui("Ranks per block"), _when_type_reads("block_size")
    ] = 4
    """How many ranks DyLoRA trains in a step; network_dim must be a multiple. A file can be cut down to each
    multiple afterwards."""

    constraint: Annotated[
        float, Field(ge=0, le=1000), Ui("Limit of rotation"), _when_type_reads("constraint")
    ] = 0.0
    """How far the blocks may turn, times the number of outputs of a layer; 0 means as far as they like. Small
    values such as 1e-4 keep close to the base model."""

    rescaled: Annotated[bool, Ui("Rescaled"), _when_type_reads("rescaled")] = False
    """Also learn one factor for each output."""
