"""Turns a plan into frames, and into the annotation of the annotated ones."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw

from suture.drawing import eye, instruments, polygons
from suture.drawing.chance import generator
from suture.drawing.plan import LENSES, WINDOW_S, Plan

Frame = NDArray[np.uint8]
"""(height, width, 3), RGB."""

NOISE = 4.0
"""Standard deviation of the sensor's noise, in levels of 0 to 255."""

FINE = 3
"""Painted this many times larger, then averaged: smooth edges, and motion below a pixel."""
# Room around the image for the camera's shake, as a share of the smaller side.
_MARGIN = 0.04
_ENTER_S = 0.4
# An instrument stays in sight while it moves in or out within its windows ...
_DRAWN_BACK = 0.35
# ... and leaves the image in the idle gap before or after them.
_AWAY = 2.4


@dataclass(frozen=True)
class Seen:
    """An annotated object: published class name and outline, in pixels, inside the image."""

    name: str
    outline: polygons.Points


@dataclass(frozen=True)
class Held:
    """An instrument in sight at one moment."""

    name: str
    pose: instruments.Pose


class Film:
    """The drawn video of a plan.

    Args:
        plan: what happens when.
        seed: the seed of look and noise.
        size: width and height in pixels.
        fps: frames a second, a whole number: each annotated instant is a frame.
    """

    def __init__(self, plan: Plan, seed: int, size: tuple[int, int], fps: int) -> None:
        self.plan, self.size, self.fps = plan, size, fps
        self.frames = round(plan.duration_s * fps)
        self.look = eye.draw_look(generator(plan.case, seed, "look"))
        side = min(size)
        self.radius = self.look.zoom * side
        self._margin = math.ceil(_MARGIN * side)
        self._noise = Noise(generator(plan.case, seed, "noise"), size)
        paint = generator(plan.case, seed, "paint")
        wide, high = (FINE * (length + 2 * self._margin) for length in size)
        middle = (self.look.x * size[0] + self._margin, self.look.y * size[1] + self._margin)
        centre = (middle[0] * FINE, middle[1] * FINE)
        self._eye = eye.paint_eye(paint, self.look, wide, high, centre, self.radius * FINE)
        across = round(2 * self.look.pupil * self.radius * FINE)
        self._lenses = {name: eye.paint_lens(paint, name, across) for name in LENSES}
        self._turned: dict[tuple[str, int], Image.Image] = {}
        self._gain = _vignette(size) * np.array(self.look.light, np.float32)
        self._angles = {
            span: tuple(angle + float(paint.uniform(-0.2, 0.2)) for angle in self.look.hands) for span in plan.spans
        }
        self._runs = [(span, *run) for span in plan.spans for run in span.runs()]

    def __iter__(self) -> Iterator[Frame]:
        """Yields the frames in order."""
        for number in range(self.frames):
            time_s = number / self.fps
            yield self._noise.add(self.clean(time_s), self.light(time_s))

    def clean(self, time_s: float) -> Frame:
        """Paints the scene at a time, before light and noise."""
        x, y = self._centre(time_s)
        # The eye and its surroundings shift as one: the camera shakes, or the patient moves.
        left = round((self.look.x * self.size[0] - x + self._margin) * FINE)
        top = round((self.look.y * self.size[1] - y + self._margin) * FINE)
        canvas = self._eye.crop((left, top, left + self.size[0] * FINE, top + self.size[1] * FINE))
        centre, radius = (x * FINE, y * FINE), self.radius * FINE
        self._paint_lens(canvas, time_s, centre)
        pen = ImageDraw.Draw(canvas)
        for held in self.held(time_s):
            instruments.paint(pen, instruments.SHAPES[held.name], held.pose, centre, radius)
        self._paint_reflexes(pen)
        return np.asarray(canvas.reduce(FINE))

    def held(self, time_s: float) -> list[Held]:
        """Lists the instruments in sight at a time, the second one first: it is painted below."""
        found = []
        for span, name, start, end in self._runs:
            if not start - _ENTER_S <= time_s <= end + _ENTER_S:
                continue
            inside = min(time_s - start, end - time_s)
            idle = self.plan.span(time_s) is None
            if inside < 0 and not idle:
                continue
            out = _DRAWN_BACK * (1 - inside / _ENTER_S) if inside >= 0 else _DRAWN_BACK - _AWAY * inside / _ENTER_S
            main = name == span.act.main
            angle = self._angles[span][0 if main else 1]
            hold = instruments.hold(span.act.published, name)
            at = instruments.pose(hold, angle, time_s + self.look.phase, max(0.0, out))
            found.append((main, Held(name, at)))
        return [held for _, held in sorted(found, key=lambda one: one[0])]

    def annotation(self, time_s: float) -> list[Seen]:
        """Lists what an annotator would outline at a time: cornea, pupil, a new lens, instruments."""
        centre = self._centre(time_s)
        pupil = self.look.pupil * self.radius
        discs = [("Cornea", self.radius), ("Pupil", pupil)]
        if self.plan.lens(time_s) == "new":
            discs.append(("Lens", 0.78 * pupil))
        found = [Seen(name, polygons.ellipse(centre, radius)) for name, radius in discs]
        for held in self.held(time_s):
            outline = instruments.SHAPES[held.name].outline
            found.append(Seen(held.name, instruments.placed(outline, held.pose, centre, self.radius)))
        inside = [Seen(seen.name, polygons.clip(seen.outline, *self.size)) for seen in found]
        return [seen for seen in inside if len(seen.outline) >= 3 and polygons.area(seen.outline) >= 1]

    def _centre(self, time_s: float) -> tuple[float, float]:
        """Returns the eye's centre in pixels, with the shake of the camera."""
        t, amplitude = time_s + self.look.phase, self.look.shake * min(self.size)
        x = self.look.x * self.size[0] + amplitude * (math.sin(1.3 * t) + 0.5 * math.sin(4.7 * t))
        y = self.look.y * self.size[1] + amplitude * (math.sin(1.7 * t + 1) + 0.5 * math.sin(5.3 * t))
        return x, y

    def light(self, time_s: float) -> NDArray[np.float32]:
        """Returns the gain of each pixel at a time, (height, width, 3): the lamp, its flicker, the vignette."""
        t = time_s + self.look.phase
        return self._gain * np.float32(1 + 0.015 * math.sin(2.1 * t) + 0.01 * math.sin(7.9 * t))

    def _paint_lens(self, canvas: Image.Image, time_s: float, centre: tuple[float, float]) -> None:
        name = self.plan.lens(time_s)
        t = time_s + self.look.phase
        turned = {"fragments": 12 * t, "new": 40 + 8 * math.sin(0.9 * t)}
        lens = self._lens(name, round(turned.get(name, 0)) % 360)
        corner = (round(centre[0] - lens.width / 2), round(centre[1] - lens.height / 2))
        canvas.paste(lens, corner, lens)

    def _lens(self, name: str, degrees: int) -> Image.Image:
        if (name, degrees) not in self._turned:
            self._turned[name, degrees] = self._lenses[name].rotate(degrees, Image.Resampling.BILINEAR)
        return self._turned[name, degrees]

    def _paint_reflexes(self, pen: ImageDraw.ImageDraw) -> None:
        """The two lamps of the microscope on the cornea: they stay where the microscope is."""
        width, height, side = self.size[0] * FINE, self.size[1] * FINE, self.radius * FINE
        for dx, dy, r in ((-0.16, -0.30, 0.075), (0.12, -0.34, 0.05)):
            x, y = self.look.x * width + dx * side, self.look.y * height + dy * side
            pen.ellipse((x - r * side, y - r * side, x + r * side, y + r * side), fill=(255, 252, 244))

    def instants(self) -> list[int]:
        """Lists the annotated instants, in multiples of 5 s: those that have a frame."""
        return list(range(math.ceil(self.frames / (WINDOW_S * self.fps))))


class Noise:
    """Light and sensor noise, from a few large fields of noise: each frame takes another part of one."""

    _FIELDS, _ROOM = 6, 31

    def __init__(self, rng: np.random.Generator, size: tuple[int, int], sigma: float = NOISE) -> None:
        self._rng, (self._width, self._height) = rng, size
        shape = (self._FIELDS, self._height + self._ROOM, self._width + self._ROOM, 3)
        self._fields = rng.standard_normal(shape, dtype=np.float32) * np.float32(sigma)

    def add(self, frame: Frame, gain: NDArray[np.float32] | np.float32) -> Frame:
        """Returns ``frame * gain`` with noise, clipped to 0..255."""
        field, x, y = self._rng.integers((self._FIELDS, self._ROOM + 1, self._ROOM + 1))
        noise = self._fields[field, y : y + self._height, x : x + self._width]
        lit = np.multiply(frame, gain, dtype=np.float32)
        lit += noise
        np.clip(lit, 0, 255, out=lit)
        return lit.astype(np.uint8)


def _vignette(size: tuple[int, int]) -> NDArray[np.float32]:
    """Returns the darkening towards the border of the microscope's field, (height, width, 1)."""
    y, x = np.mgrid[-1 : 1 : size[1] * 1j, -1 : 1 : size[0] * 1j]
    light = 1 - 0.22 * np.clip(np.hypot(x, y) - 0.7, 0, 1) ** 1.5
    return np.asarray(light[..., None], dtype=np.float32)
