"""The eye under the microscope: painted once per case, the lens once per picture.

All sizes are in pixels of the canvas that is given; the cornea's radius is the
measure of everything.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw

Floats = NDArray[np.float32]

# Iris colours: brown, hazel, green, blue, grey.
_IRISES = ((112, 72, 44), (134, 104, 58), (92, 116, 74), (84, 122, 160), (122, 132, 140))
PUPIL = (52, 16, 16)


@dataclass(frozen=True)
class Look:
    """What differs from case to case.

    ``x``, ``y``: the eye's centre as shares of the image; ``zoom``: the
    cornea's radius as a share of the image's smaller side; ``pupil``: the
    pupil's radius in cornea radii; ``hands``: where the main and the second
    instrument come from, radians; ``light``: gains of red, green, blue;
    ``shake``: amplitude of the camera in shares of the image's smaller side.
    """

    x: float
    y: float
    zoom: float
    pupil: float
    iris: tuple[float, float, float]
    sclera: tuple[float, float, float]
    hands: tuple[float, float]
    light: tuple[float, float, float]
    shake: float
    phase: float


def draw_look(rng: np.random.Generator) -> Look:
    """Chooses a case's look."""
    iris = np.array(_IRISES[int(rng.integers(len(_IRISES)))]) * rng.uniform(0.85, 1.15)
    sclera = np.array((228, 208, 198)) * rng.uniform(0.9, 1.05) + rng.normal(0, 4, 3)
    side = float(rng.choice((-1, 1)))
    main = np.pi / 2 - side * float(rng.uniform(0.3, 1.1))
    second = np.pi / 2 + side * float(rng.uniform(0.5, 1.3))
    light = float(rng.uniform(0.85, 1.12)) * (1 + rng.normal(0, 0.03, 3))
    return Look(
        x=0.5 + float(rng.uniform(-0.05, 0.05)),
        y=0.46 + float(rng.uniform(-0.05, 0.05)),
        zoom=float(rng.uniform(0.31, 0.37)),
        pupil=float(rng.uniform(0.62, 0.72)),
        iris=_three(iris),
        sclera=_three(sclera),
        hands=(main, second),
        light=_three(light),
        shake=float(rng.uniform(0.004, 0.012)),
        phase=float(rng.uniform(0, 1000)),
    )


def _three(values: NDArray) -> tuple[float, float, float]:
    r, g, b = (float(v) for v in values)
    return r, g, b


def _polar(width: int, height: int, centre: tuple[float, float], radius: float) -> tuple[Floats, Floats]:
    """Returns distance from the centre in radii, and angle, of each pixel: (height, width)."""
    y, x = np.mgrid[0:height, 0:width].astype(np.float32)
    x, y = (x + 0.5 - centre[0]) / radius, (y + 0.5 - centre[1]) / radius
    return np.hypot(x, y), np.arctan2(y, x)


def _cloud(rng: np.random.Generator, width: int, height: int, cells: int) -> Floats:
    """Returns smooth noise between 0 and 1, (height, width)."""
    coarse = Image.fromarray(rng.random((cells, cells)).astype(np.float32))
    return np.asarray(coarse.resize((width, height), Image.Resampling.BICUBIC), dtype=np.float32)


def _around(rng: np.random.Generator, angle: Floats, count: int) -> Floats:
    """Returns noise between 0 and 1 that depends on the angle alone, ``count`` values around."""
    values = rng.random(count).astype(np.float32)
    place = (angle / (2 * np.pi) + 0.5) * count
    around = np.interp(place, np.arange(count + 1), np.append(values, values[0]))
    return np.asarray(around, dtype=np.float32)


def _edge(distance: Floats, at: float, soft: float) -> Floats:
    """Returns 1 inside ``at``, 0 outside, with a soft border."""
    inside: Floats = np.clip((at - distance) / soft + 0.5, 0, 1)
    return inside[..., None]


def paint_eye(
    rng: np.random.Generator, look: Look, width: int, height: int, centre: tuple[float, float], radius: float
) -> Image.Image:
    """Paints drape, sclera with its vessels, limbus, iris and the dark pupil."""
    r, angle = _polar(width, height, centre, radius)
    shade = 1 - 0.10 * np.clip(r - 1, 0, 2)[..., None]
    cloud = _cloud(rng, width, height, 9)[..., None]
    ground = np.array(look.sclera, np.float32) * shade * (0.94 + 0.1 * cloud)
    canvas = Image.fromarray(np.clip(ground, 0, 255).astype(np.uint8))
    _paint_vessels(rng, ImageDraw.Draw(canvas), centre, radius)
    picture = np.asarray(canvas, dtype=np.float32)

    streaks = _around(rng, angle, 90) * 0.6 + _around(rng, angle + r, 37) * 0.4
    collar = 1 - 0.22 * np.exp(-(((r - look.pupil - 0.10) / 0.04) ** 2))
    iris = np.array(look.iris, np.float32) * ((0.72 + 0.5 * streaks) * collar)[..., None]
    limbus = np.array(look.iris, np.float32) * 0.55 + 30
    picture += (limbus - picture) * _edge(r, 1.02, 0.08)
    picture += (iris - picture) * _edge(r, 0.94, 0.08)
    picture += (np.array(PUPIL, np.float32) - picture) * _edge(r, look.pupil, 0.04)

    # The lids' opening, held by the speculum; a sterile drape around it.
    opening = np.hypot(r * np.cos(angle) / 1.95, r * np.sin(angle) / 1.42)
    drape = np.array((52, 104, 122), np.float32) * (0.8 + 0.4 * cloud)
    lid = np.array((206, 140, 124), np.float32)
    around = lid + (drape - lid) * (1 - _edge(opening, 1.13, 0.06))
    picture += (around - picture) * (1 - _edge(opening, 1.0, 0.04))
    return Image.fromarray(np.clip(picture, 0, 255).astype(np.uint8))


def _paint_vessels(
    rng: np.random.Generator, canvas: ImageDraw.ImageDraw, centre: tuple[float, float], radius: float
) -> None:
    for start in rng.uniform(0, 2 * np.pi, 14):
        distance = np.linspace(2.1, float(rng.uniform(1.15, 1.5)), 12)
        bend = start + np.cumsum(rng.normal(0, 0.05, 12))
        points = np.stack([np.cos(bend), np.sin(bend)], 1) * distance[:, None] * radius + centre
        tone = int(rng.integers(120, 165))
        canvas.line(points.ravel().tolist(), fill=(205, tone, tone - 5), width=max(1, round(radius * 0.022)))


def paint_lens(rng: np.random.Generator, picture: str, size: int) -> Image.Image:
    """Paints what is seen in the pupil, a disc that fills a (size, size) RGBA image.

    Args:
        rng: source of its texture.
        picture: one of ``plan.LENSES``.
        size: the pupil's diameter.
    """
    r, angle = _polar(size, size, (size / 2, size / 2), size / 2)
    cloud = _cloud(rng, size, size, 7)
    glow = np.clip(1 - r, 0, 1)[..., None]
    # The red reflex: light that comes back from the retina.
    colour = np.array((176, 52, 30), np.float32) + glow * np.array((60, 56, 34), np.float32)
    colour *= (0.9 + 0.2 * cloud)[..., None]
    if picture == "cataract":
        colour = _cataract(rng, r, angle, cloud)
    elif picture == "fragments":
        x, y = r * np.cos(angle), r * np.sin(angle)
        groove = np.minimum(np.abs(x), np.abs(y))[..., None]
        dark = np.array((96, 22, 16), np.float32)
        colour = dark + (_cataract(rng, r, angle, cloud) - dark) * np.clip((groove - 0.10) / 0.05, 0, 1)
    elif picture == "new":
        colour = _implant(r, angle, colour)
    elif picture == "hazy":
        colour = np.array((172, 158, 150), np.float32) + 50 * (cloud - 0.5)[..., None]
    alpha = _edge(r, 0.96, 0.06)[..., 0] * 255
    return Image.fromarray(np.dstack([np.clip(colour, 0, 255), alpha]).astype(np.uint8), "RGBA")


def _cataract(rng: np.random.Generator, r: Floats, angle: Floats, cloud: Floats) -> Floats:
    """A clouded lens: amber, denser towards its nucleus, with cortical spokes."""
    spokes = _around(rng, angle, 22)
    dense: Floats = np.clip(1.05 - 0.55 * r, 0, 1) * (0.86 + 0.22 * cloud) - 0.22 * spokes * np.clip(r - 0.35, 0, 1)
    return dense[..., None] * np.array((236, 204, 146), np.float32)


def _implant(r: Floats, angle: Floats, reflex: Floats) -> Floats:
    """An intraocular lens: a clear disc with a bright rim and two haptics upon the red reflex."""
    clear = np.array((150, 176, 214), np.float32)
    colour: Floats = reflex + (clear - reflex) * 0.55 * _edge(r, 0.74, 0.05)
    rim = np.exp(-(((r - 0.74) / 0.045) ** 2))
    spiral = 0.76 + 0.2 * ((angle / np.pi) % 1)
    haptic = np.exp(-(((r - spiral) / 0.04) ** 2)) * (((angle / np.pi) % 1) < 0.75)
    light: Floats = np.clip(rim + haptic, 0, 1)
    bright: Floats = np.array((214, 234, 252), np.float32)
    colour += (bright - colour) * light[..., None]
    return colour
