"""Perceptual hashes of frames: equal or nearly so for the same picture at another size, rate or quality.

The hash is the one of pHash (C. Zauner, Implementation and Benchmarking of
Perceptual Image Hash Functions, 2010, section 3.2.1; ``ph_dct_imagehash`` of
phash.org, without its blur, which averaging to 32x32 does as well): luminance,
averaged to 32x32, its DCT-II, the 8x8 coefficients next to the constant row and
column; a bit is set where a coefficient is above their median.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

SIDE, KEPT = 32, 8

LUMA = np.array([0.299, 0.587, 0.114], np.float32)
"""Weights of red, green and blue in luminance (ITU-R BT.601)."""

FLAT = 2.0
"""Frames whose 64 coefficients hold less contrast than this, as root mean square in grey levels of 255, have no hash:
a black frame, a covered lens or plain fog is like any other, and its bits are noise."""

FRAMES_AT_ONCE = 64


@dataclass(frozen=True)
class Hashes:
    """Of frames: ``bits`` uint64 [frames], and whether each is ``flat``, bool [frames]: then its bits say nothing."""

    bits: NDArray[np.uint64]
    flat: NDArray[np.bool_]


def hashes(frames: NDArray[np.uint8]) -> Hashes:
    """Hashes frames, uint8 [n, height, width, RGB]."""
    bits, flat = [np.zeros(0, np.uint64)], [np.zeros(0, bool)]
    for at in range(0, len(frames), FRAMES_AT_ONCE):
        some = frames[at : at + FRAMES_AT_ONCE]
        rows, columns = _basis(some.shape[1]), _basis(some.shape[2])
        # All of it is linear, luminance too: two products a frame, and no picture of 32x32 is ever made.
        coefficients = rows @ (some.astype(np.float32) @ LUMA) @ columns.T
        values = coefficients.reshape(len(some), KEPT * KEPT)
        above = values > np.median(values, axis=1, keepdims=True)
        bits.append(np.packbits(above, axis=1).view(">u8").ravel().astype(np.uint64))
        flat.append(np.sqrt((values**2).sum(axis=1)) / SIDE < FLAT)
    return Hashes(np.concatenate(bits), np.concatenate(flat))


def likeness(frames: NDArray[np.uint8], others: NDArray[np.uint8]) -> NDArray[np.float64]:
    """Correlates pictures in colour, averaged to 32x32: [frames, others], from -1 to 1.

    A hash knows coarse shapes alone: eyes under a microscope, each in the middle of its picture, come within a few
    bits of each other. Brightness and contrast play no part; of two frames without contrast nothing is said: 0.

    Args:
        frames: uint8 [n, height, width, RGB].
        others: as many pixels or others.
    """
    one, other = _standardised(frames), _standardised(others)
    product: NDArray[np.float64] = one @ other.T
    return product


def _standardised(frames: NDArray[np.uint8]) -> NDArray[np.float64]:
    """Returns frames as rows of 32 x 32 x 3 values with mean 0 in each colour and length 1; a plain one as zeros."""
    rows, columns = _averaging(frames.shape[1]), _averaging(frames.shape[2])
    small = np.einsum("rh,nhwc,sw->nrsc", rows, frames.astype(np.float64), columns, optimize=True)
    small -= small.mean(axis=(1, 2), keepdims=True)
    flat = small.reshape(len(frames), -1)
    length = np.linalg.norm(flat, axis=1, keepdims=True)
    made: NDArray[np.float64] = np.where(length > 0, flat / np.maximum(length, 1e-12), 0)
    return made


@lru_cache(maxsize=32)
def _averaging(length: int) -> NDArray[np.float64]:
    """Returns what averages ``length`` pixels to 32: [32, length]."""
    edges = np.linspace(0, length, SIDE + 1)
    left, right = edges[:-1, None], edges[1:, None]
    pixel = np.arange(length)
    covered = np.clip(np.minimum(right, pixel + 1) - np.maximum(left, pixel), 0, None)
    averaged: NDArray[np.float64] = covered / covered.sum(axis=1, keepdims=True)
    return averaged


@lru_cache(maxsize=32)
def _basis(length: int) -> NDArray[np.float32]:
    """Returns what averages ``length`` pixels to 32 and gives DCT-II coefficients 1 to 8, orthonormal: [8, length]."""
    place, order = np.arange(SIDE), np.arange(1, KEPT + 1)[:, None]
    waves = np.cos(np.pi * (place + 0.5) * order / SIDE) * np.sqrt(2 / SIDE)
    basis: NDArray[np.float32] = (waves @ _averaging(length)).astype(np.float32)
    return basis
