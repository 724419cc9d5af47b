"""The text that SD3 reads: what its three encoders say of a caption, and leaving single ones out."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional

from lora_widgets.config.captions import TOKENS_PER_WINDOW
from lora_widgets.families.family import TextEmbedding
from lora_widgets.families.sd3_layout import Layout

CLIP_TOKENS = TOKENS_PER_WINDOW + 2
"""How many tokens both CLIPs say something of; those of T5 come after them."""


@dataclass(frozen=True)
class EncoderDropout:
    """Zeros in place of what single encoders say of a caption (Esser et al. 2024, arXiv:2403.03206).

    ``rates`` are those of CLIP-L, CLIP-G and T5; ``widths`` and ``pooled_widths`` are how many numbers CLIP-L
    and CLIP-G say of each token and of the whole. Matches kohya-ss/sd-scripts (strategy_sd3).
    """

    rates: tuple[float, float, float]
    widths: tuple[int, int]
    pooled_widths: tuple[int, int]

    def __call__(self, text: TextEmbedding, chances: Tensor) -> TextEmbedding:
        """Return the text without the encoders whose ``chances`` (B, 3) in [0, 1) are below their rate."""
        hidden, pooled = text.hidden, text.pooled
        assert pooled is not None  # both CLIPs pool
        dropped = (chances < torch.tensor(self.rates)).to(hidden.device)
        clips, t5 = dropped[:, :2], dropped[:, 2]
        of_clips = functional.pad(_over(clips, self.widths), (0, hidden.shape[-1] - sum(self.widths)))
        said = [
            hidden[:, :CLIP_TOKENS].masked_fill(of_clips[:, None], 0),
            hidden[:, CLIP_TOKENS:].masked_fill(t5[:, None, None], 0),
        ]
        pooled = pooled.masked_fill(_over(clips, self.pooled_widths), 0)
        return replace(text, hidden=torch.cat(said, dim=1), pooled=pooled)


def encoder_dropout(config: Any, layout: Layout) -> EncoderDropout | None:
    """Return the dropout that the settings ask for, None where no encoder is ever left out."""
    rates = (config.clip_l_dropout_rate, config.clip_g_dropout_rate, config.t5_dropout_rate)
    if not any(rates):
        return None
    clip_l, clip_g = (clip.config for clip in layout.clips)
    return EncoderDropout(
        rates,
        widths=(clip_l["hidden_size"], clip_g["hidden_size"]),
        pooled_widths=(clip_l["projection_dim"], clip_g["projection_dim"]),
    )


def _over(dropped: Tensor, widths: Sequence[int]) -> Tensor:
    """Repeat what is dropped (B, n) over the numbers of each of n encoders -> (B, sum of ``widths``)."""
    return dropped.repeat_interleave(torch.tensor(widths, device=dropped.device), dim=1)
