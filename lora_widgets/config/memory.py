"""Tab Advanced, groups Memory and Caching."""

from typing import Annotated

from pydantic import Field

from lora_widgets.catalog.formats import PRECISIONS
from lora_widgets.config.fields import NotYet, OneOf, OnlyWhen, Ui
from lora_widgets.config.section import Section
from lora_widgets.config.tabs import Tab


class Memory(Section, tab=Tab.ADVANCED, group="Memory"):
    """Memory against speed."""

    gradient_checkpointing: Annotated[bool, Ui("Gradient checkpointing")] = True
    """Compute parts of the model twice instead of keeping them. Saves much memory, takes about a third more
    time."""

    mixed_precision: Annotated[str, OneOf(PRECISIONS), Ui("Mixed precision")] = "fp16"
    """Number format of the frozen model and of the computation. bf16 is the better one where the GPU has it;
    the adapter itself always keeps full precision."""

    full_fp16: Annotated[bool, Ui("Full fp16"), OnlyWhen("mixed_precision", "fp16"), NotYet()] = False
    """Keep the adapter in half precision too. Saves little and often diverges."""

    no_half_vae: Annotated[bool, Ui("VAE in full precision")] = False
    """Run the VAE in full precision. Needed when pictures turn black or latents are not finite."""


class Caching(Section, tab=Tab.ADVANCED, group="Caching"):
    """What is computed once and kept."""

    cache_latents: Annotated[bool, Ui("Cache latents")] = False
    """Encode every picture once before the training. Much faster, and the VAE leaves the memory."""

    cache_latents_to_disk: Annotated[bool, Ui("Cache latents on disk"), NotYet()] = False
    """Keep the encoded pictures on disk for the next run."""

    cache_text_encoder_outputs: Annotated[bool, Ui("Cache text encoder")] = False
    """Encode every caption once before the training. Faster; captions cannot vary and the text encoder cannot
    learn then."""

    vae_batch_size: Annotated[int, Field(ge=1, le=1024), Ui("VAE batch size", unit="pictures")] = 1
    """Pictures that are encoded at once. More is faster and needs more memory; usual are 1 to 4."""

    @property
    def latents_are_cached(self) -> bool:
        """Whether pictures are encoded once, before the loop."""
        return self.cache_latents
