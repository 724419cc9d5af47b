"""Tab Dataset: the pictures, how long to train on them, how they vary, and what steers their loss."""

from typing import Annotated

from pydantic import BeforeValidator, Field

from lora_widgets.config.fields import Bounds, Ui
from lora_widgets.config.section import Section
from lora_widgets.config.tabs import Tab
from lora_widgets.config.values import MAX_RESOLUTION, MIN_RESOLUTION, picture_size


class Dataset(Section, tab=Tab.DATASET, group="Pictures and length"):
    """Which pictures are shown, how often, and in which size."""

    train_data_dir: Annotated[str, Ui("Dataset folder", path="folder")]
    """Folder with the pictures, or with subfolders named "<repeats>_<name>", or "demo". A caption is a text
    file of the picture's name. "demo" is the small set that comes with the package. Not used with
    dataset_config, which names folders of its own."""

    dataset_config: Annotated[str | None, Ui("Dataset file", path="file")] = None
    """TOML file with several folders, in the schema of sd-scripts: each with its own repeats, captions,
    regularisation and resolution. Its folders are relative to the file, else to the current folder; what it
    does not say comes from the settings here. Empty means one dataset folder."""

    nested_folders: Annotated[bool, Ui("Folders in folders")] = False
    """Also take the pictures of all folders below a dataset folder. Off: only those directly in it."""

    resolution: Annotated[
        int | str,
        BeforeValidator(picture_size),
        Bounds(minimum=MIN_RESOLUTION, maximum=MAX_RESOLUTION),
        Ui("Resolution", unit="px", reason="a model cannot learn from fewer pixels"),
    ] = 1024
    """Size at which pictures are trained: one side of a square, or "width,height". With buckets on, it sets
    the area, not the shape. Larger shows more detail and costs time and memory with the square; usual are
    512 for SD1.5 and 1024 for the others."""

    num_repeats: Annotated[int, Field(ge=1, le=100_000), Ui("Repeats")] = 10
    """How often each picture is shown per epoch, where the folder's name does not say it. More repeats make
    an epoch longer; usual are 1 to 20."""

    max_train_epochs: Annotated[int, Field(ge=0, le=100_000), Ui("Epochs")] = 10
    """How often the whole set is gone through. More epochs learn the pictures better, too many by heart;
    usual are 5 to 20. Not used when max_train_steps is above 0."""

    max_train_steps: Annotated[int, Field(ge=0, le=10_000_000), Ui("Max steps", unit="steps")] = 0
    """Ends the training after so many optimizer steps; 0 means that the epochs decide. Usual are 500 to
    3000."""

    train_batch_size: Annotated[int, Field(ge=1, le=4096), Ui("Batch size", unit="pictures")] = 4
    """Pictures per forward and backward pass. More is steadier and needs more memory; usual are 1 to 8."""

    seed: Annotated[int, Field(ge=0, le=2**32 - 1), Ui("Seed")] = 42
    """Start of all random numbers. The same seed with the same settings gives the same LoRA."""


class Augmentation(Section, tab=Tab.DATASET, group="Augmentation"):
    """How a picture and its caption vary from one showing to the next."""

    flip_aug: Annotated[bool, Ui("Flip pictures")] = False
    """Mirror pictures at random, half of the time. Helps small sets; harms lettering and faces or characters
    that are not symmetric."""

    random_crop: Annotated[bool, Ui("Random crop")] = False
    """Cut at a random place instead of the middle when a picture does not fit its bucket. With cached latents
    it needs latent_cache_crops above 1."""

    shuffle_caption: Annotated[bool, Ui("Shuffle captions")] = True
    """Put the tags of a caption in a new order at each showing. Good for comma-separated tags, bad for
    sentences; keep_tokens protects the first tags."""


class LossPerPicture(Section, tab=Tab.DATASET, group="Regularisation and masks"):
    """Pictures that count less, and parts of pictures that count alone."""

    reg_data_dir: Annotated[str | None, Ui("Regularisation folder", path="folder")] = None
    """Folder with pictures of the class in general, laid out like the dataset folder. They keep the model
    from forgetting what else the class looks like. They are shown as often, in all, as the other pictures."""

    prior_loss_weight: Annotated[float, Field(ge=0, le=100), Ui("Regularisation weight")] = 1.0
    """How much a regularisation picture counts in the loss, beside 1 for the others. Larger holds the model
    closer to what it knew; usual are 0.1 to 1."""

    alpha_mask: Annotated[bool, Ui("Mask from transparency")] = False
    """Learn only where a picture is opaque: the loss is multiplied by its alpha channel. Pictures without
    one count whole."""

    mask_data_dir: Annotated[str | None, Ui("Mask folder", path="folder")] = None
    """Folder with a mask for each picture, of the same name: white is learned, black is not. Small masks
    mean a small loss, since nothing makes up for what is left out."""
