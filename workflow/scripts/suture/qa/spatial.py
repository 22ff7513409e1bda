"""Where instruments lie as seen from an anatomical structure, from boxes alone.

A direction is that from the centre of the reference's box to the centre of
the instrument's, as a viewer sees the image. A relation is stated only where
every annotated scene of the clip agrees on it.
"""

from __future__ import annotations

from collections.abc import Sequence

from suture.qa.base import Relations
from suture.qa.names import ObjectNames
from suture.qa.scenes import Box, ClipScene

DEAD_BAND = 0.05
"""Offsets below this share of the image's width or height name no direction on that axis."""

DIRECTIONS = {
    (0, 0): "at the centre of",
    (-1, 0): "to the left of",
    (1, 0): "to the right of",
    (0, -1): "above",
    (0, 1): "below",
    (-1, -1): "above and to the left of",
    (1, -1): "above and to the right of",
    (-1, 1): "below and to the left of",
    (1, 1): "below and to the right of",
}
"""By sign of the horizontal and vertical offset; the vertical axis of an image points down."""

NO_REFERENCE = "spatial_no_reference"
AMBIGUOUS = "spatial_ambiguous"


def direction(box: Box, reference: Box) -> str:
    """Names the direction of a box as seen from another; boxes are (x, y, width, height), shares of the image."""
    right = box[0] + box[2] / 2 - reference[0] - reference[2] / 2
    down = box[1] + box[3] / 2 - reference[1] - reference[3] / 2
    return DIRECTIONS[_side(right), _side(down)]


def _side(offset: float) -> int:
    return 0 if abs(offset) < DEAD_BAND else (1 if offset > 0 else -1)


def relations(scenes: Sequence[ClipScene], names: ObjectNames) -> Relations | str:
    """Returns the relations that hold in all scenes of one clip, or the reason why there are none.

    Directions are seen from the first of the names' references that every scene with an instrument shows.

    ``spatial_no_reference``: no structure is in sight in every scene that shows
    an instrument. ``spatial_ambiguous``: an instrument, or the reference, is
    seen at places of different direction (it moved, or there are two of it).
    """
    shown = [scene for scene in scenes if _instruments(scene, names)] or list(scenes)
    common = [name for name in names.references if all(_boxes(scene, name) for scene in shown)]
    if not common:
        return NO_REFERENCE
    reference = common[0]
    seen: dict[str, set[str]] = {}
    for scene in shown:
        for name in _instruments(scene, names):
            seen.setdefault(name, set()).update(
                direction(box, origin) for box in _boxes(scene, name) for origin in _boxes(scene, reference)
            )
    if any(len(directions) > 1 for directions in seen.values()):
        return AMBIGUOUS
    ordered = names.in_order("instruments", seen)
    return Relations(reference=reference, directions=tuple((name, min(seen[name])) for name in ordered))


def _instruments(scene: ClipScene, names: ObjectNames) -> set[str]:
    return {name for name, _ in scene.objects if names.kind_of(name) == "instruments"}


def _boxes(scene: ClipScene, name: str) -> list[Box]:
    return [box for other, box in scene.objects if other == name]
