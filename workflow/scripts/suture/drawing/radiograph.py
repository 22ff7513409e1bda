"""Draws chest radiographs: lungs, heart and the findings of :mod:`suture.drawing.chests`, each where it is told."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from suture.drawing.chance import generator
from suture.drawing.chests import Chest
from suture.drawing.tissue import Grey, tissue

OWN = 0.08
"""How much of the brightness is the patient's own tissue: with none the leak gate takes one patient's image for
another's, as rightly it should."""


def draw(chest: Chest, name: str, patient: str, seed: int, size: int, *, lateral: bool = False) -> NDArray[np.uint8]:
    """Draws one image, uint8 [size, size]. As in print, the patient's right is on the left.

    Args:
        chest: what is to be seen.
        name: of the image: place, tone and noise are its own.
        patient: whose chest it is: the tissue is the same in all their images.
        seed: of all drawings.
        size: width and height in pixels.
        lateral: from the side: one lung, no findings.
    """
    chance = generator(name, seed, "image")
    y, x = (np.mgrid[0:size, 0:size] + 0.5) / size * 2 - 1
    y, x = y - chance.uniform(-0.06, 0.06), x - chance.uniform(-0.06, 0.06)
    x, y = x * chance.uniform(0.94, 1.06), y * chance.uniform(0.94, 1.06)
    own = OWN * tissue(generator(patient, seed, "lateral" if lateral else "frontal"), x, y)
    image = np.full((size, size), 0.55)
    if lateral:
        image = np.where(np.hypot(x / 0.6, y / 0.8) < 1, 0.15, image)
        return _finished(image + own, chance)
    for side in (-1, 1):
        image = np.where(np.hypot((x - side * 0.46) / 0.38, y / 0.78) < 1, 0.12, image)
    for rib in np.arange(-0.6, 0.7, 0.3):
        image = np.where(np.abs(y - rib - 0.15 * np.abs(x)) < 0.02, image + 0.12, image)
    if chest.opacity:
        image = np.where((np.hypot((np.abs(x) - 0.46) / 0.3, (y + 0.48) / 0.22) < 1), 0.5, image)
    if chest.nodule:
        radius = 0.17 if chest.large else 0.09
        image = np.where(np.hypot(x - _side(chest.nodule) * 0.5, y - 0.05) < radius, 0.95, image)
    if chest.effusion:
        low = (y > 0.42) & (x * _side(chest.effusion) > 0.08) & (np.abs(x) < 0.86)
        image = np.where(low, 0.85, image)
    half = (0.22, 0.36, 0.5)[chest.heart]
    image = np.where(np.hypot((x - 0.08) / half, (y - 0.32) / 0.36) < 1, 0.72, image)
    if chest.device:
        image = np.where((np.abs(x + 0.12 - 0.1 * y) < 0.035) & (y < 0.3), 1.0, image)
    return _finished(image + own, chance)


def _side(side: str) -> int:
    return -1 if side == "right" else 1


def _finished(image: Grey, chance: np.random.Generator) -> NDArray[np.uint8]:
    tone, noise = chance.uniform(0.85, 1.1), 0.03 * chance.standard_normal(image.shape)
    return np.asarray(np.rint(np.clip(image * tone + noise, 0, 1) * 255), np.uint8)
