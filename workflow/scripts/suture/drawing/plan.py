"""What happens when in a drawn case: phases, idle gaps, instruments, the lens.

Annotated instants are the multiples of 5 s from the start of the video, as in
Cataract-1K. Window ``m`` is the 5 s around instant ``5 m``; what is in sight
is chosen per window and holds for all of it, so that the annotation of an
instant is true of the clip that is cut around it.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np

from suture.drawing.chance import generator

WINDOW_S = 5.0
"""Distance of two annotated instants, and the length of a clip around one."""

LENSES = ("cataract", "fragments", "empty", "new", "hazy")
"""The pictures of the lens; ``hazy`` is the one in which a reflex hides it."""


@dataclass(frozen=True)
class Act:
    """How one phase is drawn.

    ``main`` is in a window with probability ``p_main``, ``second`` with
    ``p_second``, each for itself: neither follows from the phase.
    """

    published: str
    lens: str
    main: str
    p_main: float
    second: str
    p_second: float


# A subset of the published phases in surgical order, published spellings.
# Which instruments belong to a phase, and roughly how often, is as annotated
# in the real data. Three phases share the cataract and three the new lens:
# those differ by their instruments only. Two instruments occur in two phases
# each, which differ by the lens only.
ACTS = (
    Act("Incision", "cataract", "Slit Knife", 0.85, "Katena Forceps", 0.50),
    Act("Viscoelastic", "cataract", "Gauge", 0.90, "Katena Forceps", 0.20),
    Act("Capsulorhexis", "cataract", "Capsulorhexis Forceps", 0.80, "Capsulorhexis Cystotome", 0.50),
    Act("Phacoemulsification", "fragments", "Phacoemulsification Tip", 0.90, "Spatula", 0.60),
    Act("Irrigation/Aspiration", "empty", "Irrigation-Aspiration", 0.90, "Spatula", 0.40),
    Act("Lens Implantation", "new", "Lens Injector", 0.85, "Katena Forceps", 0.30),
    Act("Viscoelastic_Suction", "new", "Irrigation-Aspiration", 0.95, "Spatula", 0.20),
    Act("Tonifying/Antibiotics", "new", "Gauge", 0.80, "Spatula", 0.20),
)

# Phases that are short in reality as well and come twice where they have two windows.
_REPEATED = ("Incision", "Tonifying/Antibiotics")
_P_REPEATED = 0.5
# Phases of two windows in a case; the others have one.
_LONG_PHASES = 5
# A misleading lens, where the phase has one of its own: what comes before it, or a reflex.
_P_MISLEADING = 0.10
_MISLEADING = {"fragments": ("cataract", "hazy"), "empty": ("fragments", "hazy"), "new": ("empty", "hazy")}
_P_IDLE_WINDOW = 0.5
# A boundary lies this much at most before or after the border of a window; an
# end less far after it, so that a phase in the next window finds room to start.
_SHIFT_S = 2.2
_LATEST_END_S = 0.8
_GAP_S = 0.8
_SHORTEST_S = 3.0


@dataclass(frozen=True)
class Window:
    """What is in sight in the 5 s around an annotated instant of a phase."""

    lens: str
    instruments: tuple[str, ...]


@dataclass(frozen=True)
class Span:
    """One row of the phase file: an act from ``start_s`` to ``end_s``.

    ``first`` is the number of its first window; boundaries lie up to 2.2 s
    away from the borders of its windows.
    """

    act: Act
    start_s: float
    end_s: float
    first: int
    windows: tuple[Window, ...]

    def window(self, time_s: float) -> Window:
        """Returns what is in sight at a time of the span."""
        number = math.floor(time_s / WINDOW_S + 0.5) - self.first
        return self.windows[min(max(number, 0), len(self.windows) - 1)]

    def runs(self) -> list[tuple[str, float, float]]:
        """Lists (instrument, from, to): how long each stays in sight without a break, seconds."""
        borders = [(self.first + k - 0.5) * WINDOW_S for k in range(1, len(self.windows))]
        times = [self.start_s, *borders, self.end_s]
        found: list[tuple[str, float, float]] = []
        for window, (start, end) in zip(self.windows, pairwise(times), strict=True):
            for name in window.instruments:
                held = next((run for run in found if run[0] == name and run[2] == start), None)
                if held:
                    found.remove(held)
                found.append((name, held[1] if held else start, end))
        return found


@dataclass(frozen=True)
class Plan:
    """A drawn case: its spans in order of time, and the length of its video in seconds."""

    case: str
    spans: tuple[Span, ...]
    duration_s: float

    def span(self, time_s: float) -> Span | None:
        """Returns the span at a time, None when idle."""
        return next((span for span in self.spans if span.start_s <= time_s <= span.end_s), None)

    def lens(self, time_s: float) -> str:
        """Returns the picture of the lens at a time; an idle gap keeps that of the phase before."""
        span = self.span(time_s)
        if span:
            return span.window(time_s).lens
        past = [span for span in self.spans if span.end_s < time_s]
        return past[-1].act.lens if past else self.spans[0].act.lens


def draw_plan(case: str, seed: int) -> Plan:
    """Chooses what happens in a case: 13 windows of 8 phases, 80 to 110 s with the idle gaps."""
    rng = generator(case, seed, "plan")
    counts = _row_lengths(rng)
    firsts = []
    number = 1
    for _, count in counts:
        firsts.append(number)
        number += count + int(rng.random() < _P_IDLE_WINDOW)
    borders = _boundaries(rng, firsts, [count for _, count in counts])
    spans = tuple(
        Span(act, start, end, first, tuple(_window(rng, act) for _ in range(count)))
        for (act, count), first, (start, end) in zip(counts, firsts, borders, strict=True)
    )
    return Plan(case, spans, round(spans[-1].end_s + float(rng.uniform(2, 4)), 1))


def _row_lengths(rng: np.random.Generator) -> list[tuple[Act, int]]:
    """Chooses the rows of the phase file: (act, windows)."""
    long = set(rng.permutation(len(ACTS))[:_LONG_PHASES].tolist())
    rows: list[tuple[Act, int]] = []
    for index, act in enumerate(ACTS):
        if index not in long:
            rows.append((act, 1))
        elif act.published in _REPEATED and rng.random() < _P_REPEATED:
            rows += [(act, 1), (act, 1)]
        else:
            rows.append((act, 2))
    return rows


def _boundaries(rng: np.random.Generator, firsts: Sequence[int], counts: Sequence[int]) -> list[tuple[float, float]]:
    """Chooses start and end of each span around its windows, in seconds.

    A span has at least 3 s and at most 2.2 s more than its windows: each window becomes one
    clip of 2.5 to 7.5 s. A draw that does not fit is drawn again; there is always one that does.
    """
    spans: list[tuple[float, float]] = []
    while len(spans) < len(firsts):
        first, count = firsts[len(spans)], counts[len(spans)]
        start = round((first - 0.5) * WINDOW_S + float(rng.uniform(-_SHIFT_S, _SHIFT_S)), 3)
        end = round((first + count - 0.5) * WINDOW_S + float(rng.uniform(-_SHIFT_S, _LATEST_END_S)), 3)
        apart = not spans or start - spans[-1][1] >= _GAP_S
        if apart and _SHORTEST_S <= end - start <= WINDOW_S * count + _SHIFT_S:
            spans.append((start, end))
    return spans


def _window(rng: np.random.Generator, act: Act) -> Window:
    lens = act.lens
    if lens in _MISLEADING and rng.random() < _P_MISLEADING:
        lens = str(rng.choice(_MISLEADING[lens]))
    wanted = ((act.main, act.p_main), (act.second, act.p_second))
    return Window(lens, tuple(name for name, p in wanted if rng.random() < p))
