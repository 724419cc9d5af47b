"""Tab Saving: checkpoints and sample pictures."""

from typing import Annotated

from pydantic import AfterValidator, Field

from lora_widgets.catalog.formats import DIALECTS, SAVE_FORMATS, SAVE_PRECISIONS
from lora_widgets.catalog.samplers import SAMPLERS
from lora_widgets.config.cadence import Every
from lora_widgets.config.fields import OneOf, OnlyWhen, Ui
from lora_widgets.config.section import Section
from lora_widgets.config.tabs import Tab
from lora_widgets.config.values import file_name_or_empty

_WITH_METADATA = OnlyWhen("no_metadata", *(False,))
_COUNT = Field(ge=0, le=10_000_000)


class Checkpoints(Section, tab=Tab.SAVING, group="Checkpoints"):
    """Where, when and how weights and states are written."""

    output_dir: Annotated[str, Field(min_length=1), Ui("Output folder", path="folder")]
    """Folder for everything the run writes. It is made when it does not exist; nothing in it is
    overwritten."""

    output_name: Annotated[str, AfterValidator(file_name_or_empty), Ui("Output name")] = ""
    """Name of the files without ending. Empty means project_name."""

    save_every_n_epochs: Annotated[int, _COUNT, Ui("Save every", unit="epochs")] = 1
    """Save the weights after every so many epochs; 0 turns it off. The end of the run is always saved."""

    save_every_n_steps: Annotated[int, _COUNT, Ui("Save every", unit="steps")] = 0
    """Save the weights after every so many steps; 0 turns it off."""

    save_last_n_epochs: Annotated[int, _COUNT, Ui("Keep last weights")] = 0
    """How many of the weights saved by epoch are kept; 0 keeps all."""

    save_state: Annotated[bool, Ui("Keep states")] = False
    """Keep a state for resuming beside every saved file. Off keeps only the newest state."""

    save_last_n_epochs_state: Annotated[int, _COUNT, Ui("Keep last states")] = 0
    """How many of the states saved by epoch are kept; 0 means as many as save_last_n_epochs."""

    save_model_as: Annotated[str, OneOf(SAVE_FORMATS), Ui("Format")] = "safetensors"
    """Format of the saved weights."""

    save_dialect: Annotated[
        str, OneOf(DIALECTS), Ui("Names in the file"), OnlyWhen("save_model_as", "safetensors", "ckpt", "pt")
    ] = "kohya"
    """Whose names the tensors have. kohya is read nearly everywhere, but diffusers reads SD3 and DoRA by its
    own names only. The format diffusers always has these; in them CLIP-L's layers stand twice, as versions of
    transformers differ in what they call them. diffusers before 0.40 scales such a file wrongly where ranks
    differ: there let conv_dim be network_dim."""

    save_precision: Annotated[str, OneOf(SAVE_PRECISIONS), Ui("Precision of the file")] = "fp16"
    """Number format of the saved weights. float doubles the file without visible gain."""

    no_metadata: Annotated[bool, Ui("No metadata")] = False
    """Leave settings, tags and counts out of the file. Other programs then know less about it."""

    private_metadata: Annotated[bool, Ui("Private metadata"), _WITH_METADATA] = False
    """Leave out what tells of the pictures and of this computer. That is: names of folders and models,
    frequencies of tags, buckets, prompts, the comment on the training, and times but the date. Paths are
    never in the file."""

    @property
    def dialect(self) -> str:
        """Whose names the tensors have, by name of the row."""
        return "diffusers" if self.save_model_as == "diffusers" else self.save_dialect

    @property
    def save_every(self) -> Every:
        """When weights are saved."""
        return Every(epochs=self.save_every_n_epochs, steps=self.save_every_n_steps)


class About(Section, tab=Tab.SAVING, group="About the file"):
    """What the file says about itself to those who get it."""

    metadata_title: Annotated[str, Ui("Title")] = ""
    """Title of the LoRA. Empty means the name of the file."""

    metadata_author: Annotated[str, Ui("Author")] = ""
    """Who made it."""

    metadata_description: Annotated[str, Ui("Description", multiline=True)] = ""
    """What it is for and how it is used."""

    metadata_license: Annotated[str, Ui("Licence")] = ""
    """Under which licence it may be used."""

    metadata_tags: Annotated[str, Ui("Tags")] = ""
    """Words by which it can be found, separated by commas."""

    metadata_trigger_phrase: Annotated[str, Ui("Trigger words")] = ""
    """Words that call up what was learned."""

    training_comment: Annotated[str, Ui("Comment on the training", multiline=True)] = ""
    """A note for yourself, which the file keeps."""


class Samples(Section, tab=Tab.SAVING, group="Sample pictures"):
    """Pictures drawn with the adapter while it is trained."""

    sample_every_n_epochs: Annotated[int, _COUNT, Ui("Draw every", unit="epochs")] = 0
    """Draw samples after every so many epochs; 0 turns it off."""

    sample_every_n_steps: Annotated[int, _COUNT, Ui("Draw every", unit="steps")] = 0
    """Draw samples after every so many steps; 0 turns it off."""

    sample_at_first: Annotated[bool, Ui("Draw before training")] = True
    """Draw the samples once before the first step, to compare with. Acts when samples are drawn at all."""

    sample_prompts: Annotated[str | None, Ui("Prompts", multiline=True)] = None
    """One prompt per line, or the path of a file: .txt with such lines, .toml or .json as sd-scripts reads
    them. Options follow the prompt: --n negative prompt, --w width, --h height, --d seed, --l guidance, --s
    steps, --ss sampler, --g the guidance embedded in Flux. Pictures without a size are drawn at
    resolution."""

    sample_sampler: Annotated[
        str, OneOf(SAMPLERS), Ui("Sampler"), OnlyWhen("model_type", "SD1.5", "SDXL")
    ] = "euler_a"
    """Sampler of the sample pictures. Flux and SD3 are always drawn with the sampler of flow matching."""

    @property
    def sample_every(self) -> Every:
        """When samples are drawn, beside those before the first step."""
        return Every(epochs=self.sample_every_n_epochs, steps=self.sample_every_n_steps)
