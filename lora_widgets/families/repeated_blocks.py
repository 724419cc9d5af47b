"""The blocks that denoisers repeat, and which of their inputs are what the block before answered."""

from collections.abc import Iterator

from torch import nn

REPEATED_BLOCKS = {
    "BasicTransformerBlock": ("hidden_states",),
    "JointTransformerBlock": ("hidden_states", "encoder_hidden_states"),
    "FluxTransformerBlock": ("hidden_states", "encoder_hidden_states"),
    "FluxSingleTransformerBlock": ("hidden_states", "encoder_hidden_states"),
}
"""The inputs by diffusers' classes and names. Its own `_repeated_blocks` lacks SD3, and says no inputs."""


def repeated_blocks(model: nn.Module) -> Iterator[tuple[nn.Module, tuple[str, ...]]]:
    """Yield each repeated block of a denoiser, with the names of the inputs that go from block to block."""
    for module in model.modules():
        if (names := REPEATED_BLOCKS.get(type(module).__name__)) is not None:
            yield module, names
