"""What to do where the pictures of a bucket do not fill a batch."""

from dataclasses import dataclass


@dataclass(frozen=True)
class PartialBatchesRow:
    """One way to treat partial batches."""

    name: str
    summary: str


PARTIAL_BATCHES: dict[str, PartialBatchesRow] = {
    row.name: row
    for row in (
        PartialBatchesRow("keep", "The last batch of a bucket may be smaller; nothing else changes."),
        PartialBatchesRow(
            "merge", "Pictures of a bucket that fills no batch go to the nearest other bucket."
        ),
        PartialBatchesRow("repeat", "Pictures of the bucket are shown once more until the batch is full."),
    )
}
