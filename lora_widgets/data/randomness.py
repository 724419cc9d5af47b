"""Seeds that are functions of (seed, purpose, position): resuming repeats nothing and skips nothing."""

import random
from hashlib import blake2b


def seed_for(seed: int, purpose: str, *position: int) -> int:
    """Return an unsigned 64-bit seed; different arguments give unrelated seeds."""
    key = repr((int(seed), purpose, tuple(int(part) for part in position)))
    return int.from_bytes(blake2b(key.encode(), digest_size=8).digest(), "big")


def rng_for(seed: int, purpose: str, *position: int) -> random.Random:
    """Return a fresh generator for one purpose at one position, for example ("flip", micro-step, picture)."""
    return random.Random(seed_for(seed, purpose, *position))
