"""Draws ultrasound images: a fan of speckle with the structures of a scan in it (see :mod:`suture.drawing.scans`)."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from suture.drawing.chance import generator
from suture.drawing.scans import Scan
from suture.drawing.tissue import Grey, tissue

Paint = Callable[[Grey, Grey, Grey], Grey]
"""Paints a structure into an image; the other two are each pixel's place, in radii from the body part's centre."""


def draw(scan: Scan, number: int, seed: int, size: int) -> NDArray[np.uint8]:
    """Draws one image, uint8 [size, size]: a function of its arguments."""
    random = generator(f"{scan.category}_{number:03d}", seed, "image")
    y, x = (np.mgrid[0:size, 0:size] + 0.5) / size * 2 - 1
    fan = (np.hypot(x, y + 1.15) < 2.1) & (np.abs(x) < 0.62 * (y + 1.35))
    side = 1 if scan.turned else -1
    centre = np.array([side * 0.3, 0.15]) + random.uniform(-0.06, 0.06, 2)
    radius = (0.2 + 0.07 * scan.age) * random.uniform(0.95, 1.05)
    # Off the standard plane the same thing is cut flat.
    flat = 1.0 if scan.standard else 0.5
    u, v = (x - centre[0]) / radius, (y - centre[1]) / (radius * flat)
    image = 0.22 + 0.1 * tissue(random, x, y)
    for name, paint in _SHAPES.items():
        if name in scan.structures:
            image = paint(image, u, v)
    if scan.abnormal:
        image = np.where(np.hypot(x + side * 0.45, y - 0.1) < 0.13, 1.0, image)
    brightness, noise = ((1.0, 0.05), (0.75, 0.13), (0.5, 0.22))[scan.quality]
    speckle = 1 + noise * random.standard_normal((size, size))
    grey = np.where(fan, np.clip(image * brightness * speckle + noise * 0.3 * random.random((size, size)), 0, 1), 0)
    return np.asarray(np.rint(grey * 255), np.uint8)


def _disc(grey: float, u0: float, v0: float, r: float, *, ring: float = 0.0) -> Paint:
    def paint(image: Grey, u: Grey, v: Grey) -> Grey:
        distance = np.hypot(u - u0, v - v0)
        inside = (distance < r) & (distance >= r - ring) if ring else distance < r
        return np.where(inside, grey, image)

    return paint


def _bar(grey: float, u0: float, v0: float, half_u: float, half_v: float) -> Paint:
    def paint(image: Grey, u: Grey, v: Grey) -> Grey:
        return np.where((np.abs(u - u0) < half_u) & (np.abs(v - v0) < half_v), grey, image)

    return paint


_SHAPES = {
    "liver": _disc(0.5, 0.0, 0.0, 1.0),
    "stomach": _disc(0.03, 0.4, -0.2, 0.38),
    "spine": _bar(0.95, 0.0, 0.72, 0.5, 0.14),
    "umbilical vein": _bar(0.03, -0.4, -0.1, 0.12, 0.5),
    "femur": _bar(0.95, 0.0, 0.0, 1.3, 0.2),
    "thigh muscle": _bar(0.5, 0.0, 0.6, 1.2, 0.25),
    "skin": _bar(0.8, 0.0, -0.9, 1.3, 0.1),
    "heart": _disc(0.85, 0.0, 0.0, 0.55, ring=0.2),
    "lung": _disc(0.4, 0.0, 0.0, 1.0, ring=0.35),
    "rib": _bar(0.95, 0.0, -1.05, 1.0, 0.12),
    "fetal skull": _disc(0.95, 0.0, 0.0, 1.0, ring=0.16),
    "thalami": _disc(0.05, 0.0, 0.0, 0.3),
    "falx cerebri": _bar(0.8, 0.0, 0.0, 0.8, 0.07),
    "choroid plexus": _disc(0.7, 0.5, 0.4, 0.25),
    "aorta": _bar(0.02, 0.0, 0.0, 1.3, 0.28),
    "facial profile": _disc(0.6, -0.2, 0.0, 0.8),
    "nuchal translucency": _disc(0.02, 0.75, 0.1, 0.3),
    "nasal bone": _bar(0.98, -0.75, -0.5, 0.3, 0.13),
}
