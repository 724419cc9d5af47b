"""Numbers as people read them."""

from pathlib import Path


def duration(seconds: float) -> str:
    """Return a time as 42 s, 3:05 or 2:00:07."""
    whole = round(seconds)
    if whole < 60:
        return f"{whole} s"
    minutes, rest = divmod(whole, 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02d}:{rest:02d}" if hours else f"{minutes}:{rest:02d}"


def size(num_bytes: int) -> str:
    """Return an amount of bytes as 512 B, 3.4 MB, 1.2 GB."""
    amount = float(num_bytes)
    for unit in ("B", "kB", "MB"):
        if amount < 1000:
            return f"{amount:.0f} {unit}" if unit == "B" or amount >= 100 else f"{amount:.1f} {unit}"
        amount /= 1000
    return f"{amount:.1f} GB"


def per_step(seconds: float) -> str:
    """Return the time of one step with the digits that matter: 0.135 s, 2.4 s."""
    return f"{seconds:.3f} s" if seconds < 1 else f"{seconds:.1f} s"


def file_size(path: str) -> str:
    """Return the size of a file, of all files in a folder, or nothing where neither is there."""
    place = Path(path)
    if place.is_file():
        return size(place.stat().st_size)
    if place.is_dir():
        return size(sum(part.stat().st_size for part in place.rglob("*") if part.is_file()))
    return ""
