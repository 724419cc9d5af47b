"""Numbers and sizes as the dry run writes them. Pure."""


def size_text(size: tuple[int, int]) -> str:
    """Write a size in pixels: 832 × 1216."""
    return f"{size[0]} × {size[1]}"


def counted(count: int, word: str) -> str:
    """Write a number of things: 1 picture, 1,000 pictures, 2 batches."""
    plural = f"{word}es" if word.endswith("ch") else f"{word}s"
    return f"{count:,} {word if count == 1 else plural}"
