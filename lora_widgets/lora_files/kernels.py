"""Which layers are convolutions, and of what kernel: some types flatten it in their files."""

import re

from lora_widgets.lora_files.layouts import Component

Kernel = tuple[int, ...]
_POINT: Kernel = (1, 1)
_SQUARE: Kernel = (3, 3)
_KERNELS: dict[str, tuple[tuple[re.Pattern[str], Kernel], ...]] = {
    "unet": (
        (re.compile(r"conv_in|conv_out|.*\.(conv[12]?)"), _SQUARE),
        (re.compile(r".*\.(conv_shortcut|attentions\.\d+\.proj_(in|out))"), _POINT),
    ),
    "ldm unet": (
        (re.compile(r"input_blocks\.0\.0|out\.2|.*\.(in_layers\.2|out_layers\.3|op|conv)"), _SQUARE),
        (re.compile(r".*\.skip_connection"), _POINT),
    ),
    "blocks": ((re.compile(r"x_embedder\.proj"), (2, 2)),),
    "text": (),
}


def kernel_of(component: Component, path: str) -> Kernel:
    """Return the size of the kernel of the layer with kohya's ``path`` in a part; none for a linear layer."""
    return next((kernel for pattern, kernel in _KERNELS[component.paths] if pattern.fullmatch(path)), ())
