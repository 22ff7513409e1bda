"""Curves as numbers for inline SVG: shares of the plot's width and height, so that a plot fits any screen."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

POINTS = 400
"""Points drawn of a curve: more would not be seen, and the page has a size limit."""


@dataclass(frozen=True, kw_only=True)
class Tick:
    """A labelled place on an axis; ``at`` in percent from the left or from the top."""

    at: float
    label: str


@dataclass(frozen=True, kw_only=True)
class Curve:
    """One line of a plot: its name and its SVG points in a 100 x 100 box, y downward."""

    name: str
    points: str
    last: str


@dataclass(frozen=True, kw_only=True)
class Plot:
    """Lines over common axes."""

    curves: tuple[Curve, ...]
    x: tuple[Tick, ...]
    y: tuple[Tick, ...]


def ticks(low: float, high: float, count: int = 4) -> list[float]:
    """Gives round numbers (1, 2 or 5 times a power of ten) that cover ``low`` to ``high``."""
    span = high - low
    if span <= 0:
        return [low]
    raw = span / count
    power = 10.0 ** math.floor(math.log10(raw))
    step = next(power * factor for factor in (1, 2, 5, 10) if power * factor >= raw * (1 - 1e-9))
    first, last = math.floor(low / step + 1e-9), math.ceil(high / step - 1e-9)
    return [round(i * step, 12) for i in range(first, last + 1)]


def plot(series: Mapping[str, Sequence[tuple[float, float]]]) -> Plot | None:
    """Scales named series of (x, y) to a plot from 0; values that are not finite are left out.

    None where there is nothing to draw.
    """
    finite = {
        name: [(x, y) for x, y in points if math.isfinite(x) and math.isfinite(y)] for name, points in series.items()
    }
    finite = {name: points for name, points in finite.items() if points}
    if not finite:
        return None
    xs = [x for points in finite.values() for x, _ in points]
    ys = [y for points in finite.values() for _, y in points]
    y_ticks = ticks(min(0.0, min(ys)), max(ys) if max(ys) > min(0.0, min(ys)) else min(ys) + 1)
    bottom, top = y_ticks[0], y_ticks[-1]
    left, right = min(xs), max(xs)
    width = right - left or 1.0

    def place(x: float, y: float) -> tuple[float, float]:
        return 100 * (x - left) / width, 100 * (top - y) / (top - bottom)

    curves = []
    for name, points in finite.items():
        shown = _thin(sorted(points))
        if len(shown) == 1:
            # A line of one point is invisible: draw it as a short level stroke about its place.
            x, y = shown[0]
            shown = [(max(left, x - width * 0.02), y), (min(left + width, x + width * 0.02), y)]
        text = " ".join("{:.2f},{:.2f}".format(*place(x, y)) for x, y in shown)
        curves.append(Curve(name=name, points=text, last=f"{points[-1][1]:.3g}"))
    return Plot(
        curves=tuple(curves),
        x=tuple(Tick(at=place(x, 0)[0], label=f"{x:g}") for x in ticks(left, right) if left <= x <= right),
        y=tuple(Tick(at=place(left, y)[1], label=f"{y:g}") for y in y_ticks),
    )


def _thin(points: list[tuple[float, float]]) -> list[tuple[float, float]]:
    if len(points) <= POINTS:
        return points
    step = (len(points) - 1) / (POINTS - 1)
    return [points[round(i * step)] for i in range(POINTS)]
