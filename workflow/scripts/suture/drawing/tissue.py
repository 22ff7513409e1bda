"""What lies behind and around the things drawn: waves of brightness, by which no picture is taken for another."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Grey = NDArray[np.float64]


def tissue(random: np.random.Generator, x: Grey, y: Grey, waves: int = 6) -> Grey:
    """Draws a field of its own for each generator: without it pictures of equal facts would be one picture.

    Args:
        random: of what the field belongs to, such as one image or one patient.
        x: each pixel's place, in half widths.
        y: likewise, in half heights.
        waves: how many are added.

    Returns:
        Values from -2 to 2, about 1 in root mean square, in the shape of ``x``.
    """
    angle, phase = random.uniform(0, 2 * np.pi, (2, waves, 1, 1))
    pace = random.uniform(2, 6, (waves, 1, 1))
    field = np.cos(pace * (np.cos(angle) * x + np.sin(angle) * y) + phase).sum(axis=0) / np.sqrt(waves / 2)
    return np.asarray(np.clip(field, -2, 2))
