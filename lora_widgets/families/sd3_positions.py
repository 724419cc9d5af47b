"""Where in its table of positions SD3 reads a picture: in the middle, or elsewhere at some training steps."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from torch import Tensor


@dataclass(frozen=True)
class PositionCrop:
    """Reads the positions of a batch at a random place of the table, at ``rate`` of the steps.

    Matches kohya-ss/sd-scripts (sd3_models: cropped_pos_embed). ``embedding`` returns diffusers' PatchEmbed.
    """

    rate: float
    embedding: Callable[[], Any]

    @contextmanager
    def __call__(self, chances: Tensor) -> Iterator[None]:
        """Read elsewhere inside the context where the first of ``chances`` (3,) in [0, 1) is below the rate.

        The other two say how far down and to the right.
        """
        chance, down, right = chances.tolist()
        if chance >= self.rate:
            yield
            return
        embedding = self.embedding()

        def elsewhere(height: int, width: int) -> Tensor:
            rows, columns = height // embedding.patch_size, width // embedding.patch_size
            side = embedding.pos_embed_max_size
            top, left = int(down * (side - rows + 1)), int(right * (side - columns + 1))
            table = embedding.pos_embed.unflatten(1, (side, side))
            return table[:, top : top + rows, left : left + columns].flatten(1, 2)

        embedding.cropped_pos_embed = elsewhere
        try:
            yield
        finally:
            del embedding.cropped_pos_embed
