"""Tab LoRA, group Buckets: how pictures of different shapes are grouped."""

from typing import Annotated

from pydantic import Field

from lora_widgets.catalog.partial_batches import PARTIAL_BATCHES
from lora_widgets.config.fields import OneOf, OnlyWhen, Ui
from lora_widgets.config.section import Section
from lora_widgets.config.tabs import Tab

_BUCKETS_ON = OnlyWhen.on("enable_bucket")
_FINE_STEP_PX = 32


class Buckets(Section, tab=Tab.LORA, group="Buckets"):
    """Sizes into which pictures are sorted by their shape."""

    enable_bucket: Annotated[bool, Ui("Use buckets")] = True
    """Sort pictures by shape, so that little is cut off. Off: every picture is cut to the resolution."""

    sdxl_bucket_optimization: Annotated[bool, Ui("32 px buckets (SDXL)"), _BUCKETS_ON] = False
    """Use bucket sides in steps of 32 px instead of 64, for SDXL and SD3. Cuts a little less off; the step
    itself is then not used."""

    min_bucket_reso: Annotated[int, Field(ge=64, le=8192), Ui("Smallest side", unit="px"), _BUCKETS_ON] = 256
    """Shortest side of a bucket, rounded down to the step. Smaller allows more extreme shapes; 256 is
    usual."""

    max_bucket_reso: Annotated[int, Field(ge=64, le=16_384), Ui("Largest side", unit="px"), _BUCKETS_ON] = (
        2048
    )
    """Longest side of a bucket, rounded up to the step. Larger allows more extreme shapes; 1024 to 2048 is
    usual."""

    bucket_no_upscale: Annotated[bool, Ui("Never enlarge"), _BUCKETS_ON] = False
    """Keep pictures that are smaller than the resolution at their own size. Many sizes make many small
    batches; the limits of the sides are then not used."""

    bucket_reso_steps: Annotated[
        int, Field(ge=8, le=512, multiple_of=8), Ui("Step", unit="px"), _BUCKETS_ON
    ] = 64
    """Bucket sides are multiples of this. Smaller cuts less off and makes more buckets; 64 is usual."""

    partial_batches: Annotated[str, OneOf(PARTIAL_BATCHES), Ui("Partial batches")] = "keep"
    """What happens where a bucket's pictures do not fill its last batch. keep trains the smaller batch,
    merge moves the pictures of buckets that never fill one batch to the nearest other bucket, repeat shows
    some pictures once more."""

    @property
    def bucket_step(self) -> int:
        """The step of bucket sides in effect, in pixels."""
        return _FINE_STEP_PX if self.sdxl_bucket_optimization else self.bucket_reso_steps

    @property
    def merges_buckets(self) -> bool:
        """Move pictures out of buckets that never fill a batch."""
        return self.partial_batches == "merge"

    @property
    def fills_batches(self) -> bool:
        """Show some pictures once more where a batch would be smaller."""
        return self.partial_batches == "repeat"
