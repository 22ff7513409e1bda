"""The instruments: what they look like, and how they are held and moved.

Shapes are given along the instrument: x from the tip outwards, y across it, in
radii of the cornea. They are thick and differ in colour, since a model that
sees 56 pixels must tell them apart.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from PIL import ImageDraw

from suture.drawing.polygons import Points

Colour = tuple[int, int, int]
_LENGTH = 5.0
_METAL: Colour = (220, 227, 235)


@dataclass(frozen=True)
class Shape:
    """An instrument: ``outline`` in one colour, with ``parts`` of another upon it."""

    colour: Colour
    outline: tuple[tuple[float, float], ...]
    parts: tuple[tuple[Colour, tuple[tuple[float, float], ...]], ...] = ()


def _mirrored(*upper: tuple[float, float]) -> tuple[tuple[float, float], ...]:
    """Returns the outline whose upper half is given from the tip outwards."""
    return upper + tuple((x, -y) for x, y in reversed(upper))


def _forceps(colour: Colour, tip: float, gap: float, arm: float) -> Shape:
    """Two arms, apart by ``gap`` at the tips, ``tip`` wide there, that meet at ``arm``."""
    return Shape(
        colour,
        (
            *((0.0, gap), (0.02, gap + tip), (arm * 0.6, gap + 0.19), (arm, 0.14), (_LENGTH, 0.14)),
            *((_LENGTH, -0.14), (arm, -0.14), (arm * 0.6, -gap - 0.19), (0.02, -gap - tip), (0.0, -gap)),
            *((arm * 0.6, -gap - 0.03), (arm * 0.85, 0.0), (arm * 0.6, gap + 0.03)),
        ),
    )


SHAPES = {
    "Slit Knife": Shape(
        (250, 214, 20),
        _mirrored((0.0, 0.0), (0.45, 0.24), (0.62, 0.24), (0.72, 0.15), (_LENGTH, 0.16)),
        ((_METAL, _mirrored((0.14, 0.0), (0.45, 0.13), (0.60, 0.13), (0.66, 0.08))),),
    ),
    "Katena Forceps": _forceps((40, 170, 90), 0.12, 0.10, 0.9),
    "Gauge": Shape(
        (226, 70, 170),
        ((-0.02, 0.13), (0.06, 0.19), (0.30, 0.085), (_LENGTH, 0.085), (_LENGTH, -0.085), (0.26, -0.085)),
    ),
    "Capsulorhexis Forceps": _forceps((52, 96, 224), 0.08, 0.03, 1.2),
    "Capsulorhexis Cystotome": Shape(
        (236, 16, 28),
        ((-0.02, 0.34), (0.14, 0.34), (0.20, 0.095), (_LENGTH, 0.105), (_LENGTH, -0.105), (0.04, -0.105)),
    ),
    "Phacoemulsification Tip": Shape(
        (246, 140, 30),
        _mirrored((0.0, 0.07), (0.28, 0.08), (0.36, 0.17), (1.4, 0.20), (_LENGTH, 0.24)),
        ((_METAL, _mirrored((0.02, 0.055), (0.29, 0.065))),),
    ),
    "Spatula": Shape(
        (178, 236, 40),
        _mirrored((0.0, 0.05), (0.05, 0.13), (0.30, 0.15), (0.42, 0.095), (_LENGTH, 0.105)),
    ),
    "Irrigation-Aspiration": Shape(
        (44, 200, 214),
        _mirrored((0.0, 0.06), (0.06, 0.13), (0.16, 0.155), (_LENGTH, 0.18)),
        (((18, 60, 70), _mirrored((0.16, 0.0), (0.21, 0.055), (0.27, 0.055), (0.32, 0.0))),),
    ),
    "Lens Injector": Shape(
        (150, 92, 214),
        (
            *((0.0, 0.20), (0.9, 0.24), (1.0, 0.32), (_LENGTH, 0.34)),
            *((_LENGTH, -0.34), (1.0, -0.32), (0.9, -0.24), (0.28, -0.20)),
        ),
        (((206, 180, 240), ((0.08, 0.15), (0.8, 0.17), (0.8, -0.17), (0.30, -0.15))),),
    ),
}

PLAIN = (150, 150, 160)
"""The colour of an instrument that this table does not have (real annotations)."""


@dataclass(frozen=True)
class Hold:
    """Where the tip is and how it moves.

    ``depth``: distance of the tip from the eye's centre, towards where the
    instrument comes from. ``motion``: thrust (along the instrument), sweep
    (an arc around the centre) or circle (all around it). ``size``: amplitude,
    in cornea radii, in radians for sweep. ``period_s``: seconds.
    """

    depth: float
    motion: str
    size: float
    period_s: float


HOLDS = {
    ("Incision", "Slit Knife"): Hold(0.50, "thrust", 0.16, 3.1),
    ("Viscoelastic", "Gauge"): Hold(0.25, "sweep", 0.7, 4.3),
    ("Capsulorhexis", "Capsulorhexis Forceps"): Hold(0.36, "circle", 0.0, 5.3),
    ("Capsulorhexis", "Capsulorhexis Cystotome"): Hold(0.30, "sweep", 0.8, 3.7),
    ("Phacoemulsification", "Phacoemulsification Tip"): Hold(0.05, "thrust", 0.22, 1.7),
    ("Irrigation/Aspiration", "Irrigation-Aspiration"): Hold(0.40, "sweep", 0.9, 3.9),
    ("Lens Implantation", "Lens Injector"): Hold(0.35, "thrust", 0.14, 4.7),
    ("Viscoelastic_Suction", "Irrigation-Aspiration"): Hold(0.20, "sweep", 0.6, 3.3),
    ("Tonifying/Antibiotics", "Gauge"): Hold(0.85, "thrust", 0.10, 1.9),
}
_SECOND = {
    "Katena Forceps": Hold(0.95, "sweep", 0.04, 5.9),
    "Spatula": Hold(0.22, "sweep", 0.5, 4.1),
}


def hold(phase: str, instrument: str) -> Hold:
    """Returns how a phase holds an instrument; a second instrument is held alike in all."""
    return HOLDS.get((phase, instrument)) or _SECOND[instrument]


@dataclass(frozen=True)
class Pose:
    """Tip in cornea radii from the eye's centre, and the angle at which the instrument comes in."""

    x: float
    y: float
    angle: float


def pose(held: Hold, angle: float, time_s: float, out: float) -> Pose:
    """Returns where an instrument is.

    Args:
        held: place and motion of its tip.
        angle: where it comes from, radians.
        time_s: seconds, from any origin.
        out: how far it is drawn back, in cornea radii.
    """
    turn = 2 * math.pi * time_s / held.period_s
    direction, around, depth = angle, angle, held.depth
    if held.motion == "thrust":
        depth += held.size * math.sin(turn)
    elif held.motion == "sweep":
        around += held.size * math.sin(turn)
        direction += 0.15 * math.sin(turn)
    else:
        around += turn
    x = depth * math.cos(around) + out * math.cos(direction)
    y = depth * math.sin(around) + out * math.sin(direction)
    return Pose(x, y, direction)


def placed(points: tuple[tuple[float, float], ...], at: Pose, centre: tuple[float, float], radius: float) -> Points:
    """Returns a shape's points, (n, 2), in pixels, for a cornea of ``radius`` pixels at ``centre``."""
    along = np.array((math.cos(at.angle), math.sin(at.angle)))
    across = np.array((-along[1], along[0]))
    local = np.array(points)
    from_tip: Points = local[:, :1] * along + local[:, 1:] * across
    points_in_image: Points = from_tip * radius + np.array((at.x, at.y)) * radius + np.array(centre)
    return points_in_image


def paint(canvas: ImageDraw.ImageDraw, shape: Shape, at: Pose, centre: tuple[float, float], radius: float) -> None:
    """Draws an instrument: a dark rim, its colours, a gleam along it. Pixels are the canvas's."""
    outline = placed(shape.outline, at, centre, radius)
    paint_outline(canvas, outline, shape.colour, rim=max(1, round(radius * 0.035)))
    for colour, part in shape.parts:
        canvas.polygon(placed(part, at, centre, radius).ravel().tolist(), fill=colour)
    reach = max(x for x, _ in shape.outline[: len(shape.outline) // 2] if x < _LENGTH)
    gleam = placed(((reach, 0.05), (_LENGTH, 0.05), (_LENGTH, 0.0), (reach, 0.01)), at, centre, radius)
    canvas.polygon(gleam.ravel().tolist(), fill=_lighter(shape.colour))


def paint_outline(canvas: ImageDraw.ImageDraw, outline: Points, colour: Colour, *, rim: int) -> None:
    """Fills an outline, with a darker rim ``rim`` pixels wide."""
    dark = (round(colour[0] * 0.45), round(colour[1] * 0.45), round(colour[2] * 0.45))
    canvas.polygon(outline.ravel().tolist(), fill=colour, outline=dark, width=rim)


def _lighter(colour: Colour) -> Colour:
    r, g, b = (round(255 - (255 - c) * 0.45) for c in colour)
    return r, g, b
