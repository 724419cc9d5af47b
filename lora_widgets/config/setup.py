"""Tab Setup: the project and the model files."""

from typing import Annotated

from pydantic import AfterValidator, Field, SecretStr

from lora_widgets.catalog.families import FAMILIES
from lora_widgets.config.fields import NotYet, OneOf, OnlyWhen, Ui
from lora_widgets.config.section import Section
from lora_widgets.config.tabs import Tab
from lora_widgets.config.values import file_name

DEMO = "demo"


class Project(Section, tab=Tab.SETUP, group="Project"):
    """What this training is called and continues."""

    project_name: Annotated[str, AfterValidator(file_name), Ui("Project name", reason="it names the files")]
    """Name of the training; files are called so unless output_name says otherwise. Letters, digits, '-', '_'
    and '.', at most 100."""

    continue_from_lora: Annotated[str | None, Ui("Continue from LoRA", path="file")] = None
    """A LoRA file whose weights are the start of this new training. Optimizer, schedule and step counter
    begin anew; network_dim must be that of the file. To go on with a run that was interrupted use
    resume."""

    resume: Annotated[str | None, Ui("Resume from state")] = None
    """State folder from which an interrupted run goes on, or "latest" for the newest in output_dir. The
    settings should be those of the run; it then continues exactly where it stopped."""

    wandb_key: Annotated[SecretStr | None, Ui("Weights & Biases key"), NotYet()] = None
    """Key of your Weights & Biases account. Never written to a file; the variable WANDB_API_KEY is safer."""


class ModelFiles(Section, tab=Tab.SETUP, group="Base model"):
    """The model the adapter is trained for."""

    model_type: Annotated[str, OneOf(FAMILIES), Ui("Model type")] = "SDXL"
    """Family of the base model. It decides architecture, picture size and loss."""

    pretrained_model_name_or_path: Annotated[str, Field(min_length=1), Ui("Base model", path="folder")]
    """The base model: a diffusers folder, a single file, a hub id such as "owner/name", or "demo". Single
    files are .safetensors or .ckpt in the layout of their publisher; a .ckpt that holds program code is
    refused. "demo" is the small model that comes with the package and needs no download. Models of the hub
    that ask for consent or are private need a token in the variable HF_TOKEN."""

    vae_path: Annotated[str | None, Ui("VAE", path="folder")] = None
    """Folder or file of another VAE to use instead of the base model's own. Empty means the base model's."""

    model_config_path: Annotated[str | None, Ui("Model configuration", path="folder")] = None
    """Configuration of an unusual model in a single file. A folder in diffusers layout, of which only the
    small config files are read, or a JSON file that holds them under the names of these folders ("unet",
    "vae", "text_encoder", "scheduler"). Empty, or for parts it leaves out: that of the family's first
    model."""

    tokenizer_path: Annotated[str | None, Ui("Tokenizer", path="folder")] = None
    """Folder with the tokenizer (vocab.json and merges.txt, or tokenizer.json). Empty means the base model's
    own; a single file holds none, and then it comes from the hub once."""

    clip_l_path: Annotated[str | None, Ui("CLIP-L", path="file"), OnlyWhen("model_type", "Flux", "SD3")] = (
        None
    )
    """File of the CLIP-L text encoder, for base models that come without one."""

    clip_g_path: Annotated[str | None, Ui("CLIP-G", path="file"), OnlyWhen("model_type", "SD3")] = None
    """File of the CLIP-G text encoder, for base models that come without one. Flux has no CLIP-G."""

    t5xxl_path: Annotated[str | None, Ui("T5-XXL", path="file"), OnlyWhen("model_type", "Flux", "SD3")] = None
    """File of the T5-XXL text encoder, for base models that come without one."""
