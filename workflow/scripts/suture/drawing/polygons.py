"""Polygons of an annotation: clipped to the image, measured."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Points = NDArray[np.float64]
"""(n, 2): x, y in pixels, in order around the outline."""


def clip(points: Points, width: float, height: float) -> Points:
    """Cuts a polygon off at the borders of an image (Sutherland and Hodgman 1974).

    Returns:
        (n, 2); n is 0 where nothing of the polygon is inside.
    """
    for axis, bound, sign in ((0, 0.0, 1), (0, width, -1), (1, 0.0, 1), (1, height, -1)):
        if not len(points):
            break
        depth = sign * (points[:, axis] - bound)
        kept = []
        for here, there, d0, d1 in zip(points, np.roll(points, -1, 0), depth, np.roll(depth, -1), strict=True):
            if d0 >= 0:
                kept.append(here)
            if (d0 >= 0) != (d1 >= 0):
                kept.append(here + (there - here) * d0 / (d0 - d1))
        points = np.array(kept).reshape(-1, 2)
    return points


def area(points: Points) -> float:
    """Returns a polygon's area in pixels² (shoelace formula)."""
    x, y = points[:, 0], points[:, 1]
    return float(abs(np.dot(x, np.roll(y, -1)) - np.dot(y, np.roll(x, -1))) / 2)


def bbox(points: Points) -> tuple[float, float, float, float]:
    """Returns a polygon's box: x, y, width, height in pixels."""
    (left, top), (right, bottom) = points.min(0), points.max(0)
    return float(left), float(top), float(right - left), float(bottom - top)


def ellipse(centre: tuple[float, float], radius: float, corners: int = 32) -> Points:
    """Returns the outline of a disc."""
    angles = np.arange(corners) * 2 * np.pi / corners
    return np.stack([centre[0] + radius * np.cos(angles), centre[1] + radius * np.sin(angles)], axis=1)
