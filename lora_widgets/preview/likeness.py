"""Which pictures are alike and which are blurred, measured on small versions of them. Pure."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from statistics import median

import numpy
from PIL import Image

HASH_SIDE = 8
MAX_DISTANCE = 6  # of 64 bits; below 8, so that alike hashes share a byte
NOTICEABLE = 2  # grey levels; less is what compression does to even surfaces
MAX_COLOUR_DISTANCE = 10.0  # of 255, on average; the same drawing in another colour is another picture
BLURRED_BELOW = 0.2  # of the median of the set
FEWEST_TO_COMPARE = 5  # a median of fewer pictures says nothing


@dataclass(frozen=True)
class Measures:
    """What one picture is compared by.

    ``fingerprint`` is the 64-bit difference hash, ``colours`` are the 8x8 fields in RGB, ``sharpness`` is the
    variance of the Laplacian divided by that of the greys: 0 for an even surface.
    """

    fingerprint: int
    colours: bytes
    sharpness: float


def measure(picture: Image.Image) -> Measures:
    """Measure a small RGB picture."""
    grey = picture.convert("L")
    colours = picture.resize((HASH_SIDE, HASH_SIDE), Image.Resampling.BOX).tobytes()
    return Measures(fingerprint(grey), colours, sharpness(grey))


def fingerprint(grey: Image.Image) -> int:
    """Return the difference hash: for each of 8x8 fields whether it is brighter than its right neighbour.

    Brighter means noticeably so, unlike in the original dHash: the bits of even surfaces would be noise.
    """
    small = grey.resize((HASH_SIDE + 1, HASH_SIDE), Image.Resampling.BOX)
    values = numpy.asarray(small, dtype=numpy.int16)
    bits = (values[:, :-1] > values[:, 1:] + NOTICEABLE).flatten()
    return int.from_bytes(numpy.packbits(bits).tobytes(), "big")


def sharpness(grey: Image.Image) -> float:
    """Return the variance of the Laplacian over the variance of the greys."""
    values = numpy.asarray(grey, dtype=numpy.float32)
    if min(values.shape) < 3:
        return 0.0
    contrast = float(values.var())
    if contrast == 0:
        return 0.0
    laplacian = (
        values[:-2, 1:-1] + values[2:, 1:-1] + values[1:-1, :-2] + values[1:-1, 2:] - 4 * values[1:-1, 1:-1]
    )
    return float(laplacian.var()) / contrast


def alike(one: Measures, other: Measures) -> bool:
    """Tell whether two pictures look the same at a glance."""
    if (one.fingerprint ^ other.fingerprint).bit_count() > MAX_DISTANCE:
        return False
    first, second = (numpy.frombuffer(own.colours, numpy.uint8).astype(numpy.int16) for own in (one, other))
    return float(abs(first - second).mean()) <= MAX_COLOUR_DISTANCE


def groups_of_alike(measures: Mapping[int, Measures]) -> tuple[tuple[int, ...], ...]:
    """Group the pictures, by number, that are alike, directly or through others; the smallest number first.

    Two hashes that differ in fewer than 8 of 64 bits have one of their 8 bytes in common, so only pictures
    that share a byte are compared.
    """
    leader = {number: number for number in measures}

    def leader_of(number: int) -> int:
        while leader[number] != number:
            number = leader[number]
        return number

    sharing: dict[tuple[int, int], list[int]] = {}
    for number, own in measures.items():
        for place, byte in enumerate(own.fingerprint.to_bytes(8, "big")):
            others = sharing.setdefault((place, byte), [])
            for other in others:
                first, second = sorted((leader_of(number), leader_of(other)))
                if first != second and alike(own, measures[other]):
                    leader[second] = first
            others.append(number)
    groups: dict[int, list[int]] = {}
    for number in measures:
        groups.setdefault(leader_of(number), []).append(number)
    return tuple(tuple(sorted(group)) for _, group in sorted(groups.items()) if len(group) > 1)


def relative_sharpness(measures: Mapping[int, Measures]) -> dict[int, float]:
    """Divide each picture's sharpness by the median of all; empty where there are too few to compare."""
    if len(measures) < FEWEST_TO_COMPARE:
        return {}
    middle = median(own.sharpness for own in measures.values())
    return {number: own.sharpness / middle for number, own in measures.items()} if middle > 0 else {}


def are_blurred(relative: Mapping[int, float]) -> Sequence[int]:
    """Name the pictures whose sharpness is a fifth of the median or less."""
    return [number for number, share in relative.items() if share <= BLURRED_BELOW]
