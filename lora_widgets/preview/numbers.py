"""Numbers and sizes as the dry run writes them. Pure."""

NO_BREAK = "\u00a0"


def size_text(size: tuple[int, int]) -> str:
    """Write a size in pixels, which no line break tears apart: 832 × 1216."""
    return f"{size[0]}{NO_BREAK}×{NO_BREAK}{size[1]}"


def counted(count: int, word: str) -> str:
    """Write a number of things: 1 picture, 1,000 pictures, 2 batches."""
    plural = f"{word}es" if word.endswith("tch") else f"{word}s"
    return f"{count:,} {word if count == 1 else plural}"


def about(seconds: float) -> str:
    """Write a length of time as people say it: 40 s, 35 min, 2 h 10 min."""
    if seconds < 90:
        return f"{seconds:.0f} s"
    hours, minutes = divmod(round(seconds / 60), 60)
    return f"{hours} h {minutes} min" if hours else f"{minutes} min"


def gigabytes(count: float) -> str:
    """Write a number of bytes: 12.3 GB, or 210 MB where it is less than one."""
    return f"{count / 1e9:.1f} GB" if count >= 1e9 else f"{count / 1e6:.0f} MB"
