"""Random numbers that depend on names, not on the order of calls."""

from __future__ import annotations

import hashlib

import numpy as np


def generator(case: str, seed: int, purpose: str) -> np.random.Generator:
    """Returns the random generator of one purpose (plan, look, noise, ...) in one case.

    Each purpose has a stream of its own, so that a change to one of them
    leaves the others as they are.
    """
    digest = hashlib.sha256(f"{case}/{seed}/{purpose}".encode()).digest()
    return np.random.default_rng(int.from_bytes(digest[:16], "big"))
