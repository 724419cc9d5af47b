"""Tab Advanced, group Captions."""

from typing import Annotated, Protocol

from pydantic import Field

from lora_widgets.config.fields import OnlyWhen, Ui
from lora_widgets.config.section import Section
from lora_widgets.config.tabs import Tab

TOKENS_PER_WINDOW = 75
"""Tokens that a CLIP text encoder reads at once, without begin and end."""
MAX_TOKENS = 3 * TOKENS_PER_WINDOW
ENCODER_DROPOUTS = ("clip_l_dropout_rate", "clip_g_dropout_rate", "t5_dropout_rate")


class TagSettings(Protocol):
    """The settings by which captions vary from showing to showing."""

    @property
    def shuffle_caption(self) -> bool:
        """Shuffle the flexible tags."""
        ...

    @property
    def caption_tag_dropout_rate(self) -> float:
        """Probability for each flexible tag to be left out."""
        ...

    @property
    def enable_wildcard(self) -> bool:
        """Choose a random line, and one of ``{a|b}``."""
        ...


def tags_move(settings: TagSettings) -> bool:
    """Tell whether tags change their place or go."""
    return settings.shuffle_caption or settings.caption_tag_dropout_rate > 0


def captions_vary(settings: TagSettings) -> bool:
    """Tell whether one picture can have more captions than its full one and the empty one."""
    return tags_move(settings) or settings.enable_wildcard


class Captions(Section, tab=Tab.ADVANCED, group="Captions"):
    """How captions are read, varied and encoded."""

    keep_tokens: Annotated[int, Field(ge=0, le=1000), Ui("Keep tokens", unit="tags")] = 0
    """The first tags of each caption that stay in place when tags are shuffled or dropped. Set it to 1 to
    protect a trigger word."""

    clip_skip: Annotated[
        int | None, Field(ge=1, le=12), Ui("CLIP skip", unit="layers"), OnlyWhen("model_type", "SD1.5")
    ] = 2
    """Which layer of the text encoder is used, counted from the end; empty or 1 is the last. 2 suits anime
    models, 1 most others. The other families always use the layer they were trained with."""

    caption_dropout_rate: Annotated[float, Field(ge=0, le=1), Ui("Caption dropout")] = 0.0
    """Share of the showings with an empty caption. Lets the style come without words; usual are 0 to 0.1."""

    caption_tag_dropout_rate: Annotated[float, Field(ge=0, le=1), Ui("Tag dropout")] = 0.0
    """Share of the tags left out at each showing. Makes tags less dependent on each other; usual are 0 to
    0.2."""

    caption_dropout_every_n_epochs: Annotated[
        int, Field(ge=0, le=100_000), Ui("Empty every", unit="epochs")
    ] = 0
    """Every so many epochs all captions are empty; 0 turns it off."""

    keep_tokens_separator: Annotated[str, Field(max_length=100), Ui("Keep-tokens separator")] = ""
    """Text in a caption, for example |||, that ends the part which stays in place. It is always removed; a
    second one begins a part that stays at the end. Empty means not used."""

    secondary_separator: Annotated[str, Field(max_length=100), Ui("Secondary separator")] = ""
    """Sign that joins tags which move and drop together; afterwards it becomes the caption separator. For
    example ; in "red hair;long hair, smile"."""

    enable_wildcard: Annotated[bool, Ui("Wildcards")] = False
    """Choose one of {a|b|c}, and one line of a caption with several, at each showing."""

    caption_extension: Annotated[str, Field(min_length=1, max_length=32), Ui("Caption file ending")] = ".txt"
    """Ending of the caption files."""

    caption_separator: Annotated[str, Field(min_length=1, max_length=100), Ui("Caption separator")] = ","
    """Sign between the tags of a caption."""

    caption_prefix: Annotated[str, Field(max_length=10_000), Ui("Caption prefix")] = ""
    """Text put before every caption, with a blank between."""

    caption_suffix: Annotated[str, Field(max_length=10_000), Ui("Caption suffix")] = ""
    """Text put after every caption, with a blank between."""

    max_token_length: Annotated[
        int,
        Field(ge=TOKENS_PER_WINDOW, le=MAX_TOKENS, multiple_of=TOKENS_PER_WINDOW),
        Ui("Caption length", unit="tokens"),
        OnlyWhen("model_type", "SD1.5", "SDXL"),
    ] = TOKENS_PER_WINDOW
    """Longest caption that is encoded: 75, 150 or 225 tokens. The longer ones join windows of 75; what does
    not fit is cut off."""

    t5xxl_max_token_length: Annotated[
        int | None,
        Field(ge=1, le=512),
        Ui("Caption length of T5", unit="tokens"),
        OnlyWhen("model_type", "Flux", "SD3"),
    ] = None
    """Longest caption that T5 reads. Empty means what the model was trained with: 512 for Flux dev, 256 for
    Flux schnell and SD3. Larger takes more memory; what does not fit is cut off."""

    apply_t5_attn_mask: Annotated[bool, Ui("T5 mask"), OnlyWhen("model_type", "Flux", "SD3")] = False
    """Let the model overlook the padding behind short captions. Off is usual: programs that draw pictures do
    not mask it."""

    apply_lg_attn_mask: Annotated[bool, Ui("CLIP mask"), OnlyWhen("model_type", "SD3")] = False
    """Let the model read zeros for the padding behind short captions in place of what the CLIPs say of it.
    Off is usual: programs that draw pictures do not mask it."""

    clip_l_dropout_rate: Annotated[
        float, Field(ge=0, le=1), Ui("Dropout of CLIP-L"), OnlyWhen("model_type", "SD3")
    ] = 0.0
    """Share of the showings at which the model reads zeros in place of what CLIP-L says. Larger lets it rely
    on the other encoders; usual are 0 to 0.1, and SD3 itself was trained with 0.464 for each encoder."""

    clip_g_dropout_rate: Annotated[
        float, Field(ge=0, le=1), Ui("Dropout of CLIP-G"), OnlyWhen("model_type", "SD3")
    ] = 0.0
    """Share of the showings at which the model reads zeros in place of what CLIP-G says. Larger lets it rely
    on the other encoders; usual are 0 to 0.1."""

    t5_dropout_rate: Annotated[
        float, Field(ge=0, le=1), Ui("Dropout of T5"), OnlyWhen("model_type", "SD3")
    ] = 0.0
    """Share of the showings at which the model reads zeros in place of what T5 says. Larger lets pictures be
    drawn without T5 later; usual are 0 to 0.1, and 1 never reads it."""

    weighted_captions: Annotated[bool, Ui("Weighted captions"), OnlyWhen("model_type", "SD1.5", "SDXL")] = (
        False
    )
    """Give words in captions and sample prompts more or less weight: (words:1.3), (words) for 1.1, [words]
    for less. Brackets that belong to a caption are then written with a backslash before each."""

    @property
    def clip_layers_skipped(self) -> int:
        """Which layer from the end is used; 1 is the last."""
        return self.clip_skip or 1
