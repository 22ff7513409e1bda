"""Scenes of a drawn cholecystectomy: organs and instruments of one colour each, one in each quarter of the picture.

What a question asks can only be read from the picture: shape is which thing it
is, and colour and place are drawn for each thing anew. Whatever its organ, an
instrument does what its kind does, as in the published triplets.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from suture.drawing.chance import generator

Picture = NDArray[np.uint8]

PLACES = ("top-left", "top-right", "bottom-left", "bottom-right")
COLOURS = {
    "red": (200, 40, 45),
    "yellow": (225, 205, 60),
    "brown": (120, 70, 35),
    "white": (240, 240, 240),
    "blue": (50, 90, 215),
    "silver": (150, 155, 165),
}
COMPONENTS = {
    "anatomy": ("gallbladder", "liver", "omentum"),
    "instrument": ("hook", "grasper"),
}
PALETTE = {"anatomy": ("red", "yellow", "brown"), "instrument": ("white", "blue", "silver")}
ACTIONS = {"hook": "dissect", "grasper": "retract"}
GROUND = (70, 25, 25)


@dataclass(frozen=True, kw_only=True)
class Thing:
    """A thing in a scene: what it is (``component`` of a ``type``), its colour, and the quarter that it lies in."""

    component: str
    type: str
    colour: str
    place: int

    @property
    def row(self) -> int:
        """0: top, 1: bottom."""
        return self.place // 2

    @property
    def column(self) -> int:
        """0: left, 1: right."""
        return self.place % 2


def scene(video: str, frame: int, seed: int) -> tuple[Thing, ...]:
    """Draws what is seen in a frame: two to four things, no component twice, by place; a function of its arguments."""
    chance = generator(f"{video}_{frame:06d}", seed, "scene")
    known = [(component, kind) for kind, members in COMPONENTS.items() for component in members]
    count = int(chance.integers(2, 5))
    chosen = [known[place] for place in chance.permutation(len(known))[:count]]
    places = sorted(int(place) for place in chance.permutation(len(PLACES))[:count])
    return tuple(
        Thing(component=component, type=kind, colour=str(chance.choice(PALETTE[kind])), place=place)
        for (component, kind), place in zip(chosen, places, strict=True)
    )


def draw(video: str, frame: int, seed: int, size: int) -> Picture:
    """Draws a frame, uint8 [size, size, 3]."""
    chance = generator(f"{video}_{frame:06d}", seed, "picture")
    y, x = (np.mgrid[0:size, 0:size] + 0.5) / size
    # Tissue of its own in each frame: scenes of the same things in the same places are no copies of one another.
    picture = (
        np.asarray(GROUND) * (1 + 0.5 * _tissue(generator(f"{video}_{frame:06d}", seed, "tissue"), x, y))[..., None]
    )
    for thing in scene(video, frame, seed):
        shift = chance.uniform(-0.02, 0.02, 2)
        u = (x - 0.25 - 0.5 * thing.column - shift[0]) / 0.2
        v = (y - 0.25 - 0.5 * thing.row - shift[1]) / 0.2
        picture[_inside(thing.component, u, v)] = COLOURS[thing.colour]
    picture += chance.normal(0, 5, picture.shape)
    return np.asarray(np.clip(np.rint(picture), 0, 255), np.uint8)


def _tissue(chance: np.random.Generator, x: NDArray[np.float64], y: NDArray[np.float64]) -> NDArray[np.float64]:
    """Returns a few waves between -1 and 1 over the picture, as x and y."""
    waves = [chance.uniform((-4, -4, 0), (4, 4, 1)) for _ in range(5)]
    return np.asarray(np.mean([np.sin(2 * np.pi * (a * x + b * y + phase)) for a, b, phase in waves], axis=0))


def _inside(component: str, u: NDArray[np.float64], v: NDArray[np.float64]) -> NDArray[np.bool_]:
    """Tells which pixels a thing covers; its own place is -1 to 1 in both directions."""
    distance = np.hypot(u, v)
    within = (np.abs(u) < 1) & (np.abs(v) < 1)
    shapes = {
        "gallbladder": distance < 0.9,
        "liver": within & (v > np.abs(u) * 1.6 - 0.8),
        "omentum": (distance < 1.0) & (distance > 0.5),
        "hook": within & ((u < -0.4) | (v > 0.4)),
        "grasper": within & ((np.abs(u) < 0.3) | (np.abs(v) < 0.3)),
    }
    return np.asarray(shapes[component])


def centre(thing: Thing, *, width: int = 430, height: int = 240) -> list[float]:
    """Returns a thing's centre in the space of the published scene graphs, in pixels (x, y)."""
    return [width * (0.25 + 0.5 * thing.column), height * (0.25 + 0.5 * thing.row)]
