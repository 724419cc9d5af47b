"""Pictures that exist only as sizes and repeats, for tests of what is planned without opening any."""

from pathlib import Path

from lora_widgets.data.image_file import ImageFile
from lora_widgets.data.subset import Subset


def picture(size, repeats=1, *, name="a.png", part=0, settings=None):
    subset = Subset(Path("pictures"), repeats, "", settings, part=part)
    return ImageFile(Path(name), tuple(size), ("",), repeats, subset)


def pictures(sizes_and_repeats):
    return [picture(size, repeats, name=f"{n}.png") for n, (size, repeats) in enumerate(sizes_and_repeats)]
