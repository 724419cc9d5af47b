"""The settings of pictures that can be in one batch: of their sizes and of their batches."""

from typing import Protocol

from lora_widgets.data.subset import SubsetSettings


class BucketSettings(Protocol):
    """The settings of bucketing."""

    @property
    def enable_bucket(self) -> bool:
        """Off: every picture goes to the one size given by the resolution."""
        ...

    @property
    def min_bucket_reso(self) -> int:
        """Shortest side of a bucket; rounded down to the step."""
        ...

    @property
    def max_bucket_reso(self) -> int:
        """Longest side of a bucket; rounded up to the step."""
        ...

    @property
    def bucket_no_upscale(self) -> bool:
        """Derive each bucket from the picture, which is only ever made smaller."""
        ...


class BatchSettings(Protocol):
    """The settings of batches."""

    @property
    def train_batch_size(self) -> int:
        """Pictures per batch."""
        ...

    @property
    def fills_batches(self) -> bool:
        """Show some pictures once more where a batch would be smaller."""
        ...


class PartSettings(SubsetSettings, BucketSettings, BatchSettings, Protocol):
    """The settings that all subsets of a part share, beside those that a subset may change."""

    @property
    def resolution_size(self) -> tuple[int, int]:
        """Width and height whose area the buckets keep to."""
        ...

    @property
    def bucket_step(self) -> int:
        """Sides of buckets are multiples of this."""
        ...

    @property
    def merges_buckets(self) -> bool:
        """Move pictures out of buckets that never fill a batch."""
        ...
