"""The drawn cases: what is planned, what is painted, and whether the annotation says the same."""

from __future__ import annotations

import itertools
import math
from collections import Counter
from itertools import pairwise

import numpy as np
import pytest

from suture.drawing import polygons
from suture.drawing.film import Film
from suture.drawing.instruments import SHAPES
from suture.drawing.plan import ACTS, Plan, draw_plan

CASES = [f"case_{number}" for number in range(1, 61)]


@pytest.fixture(scope="module")
def plans() -> list[Plan]:
    return [draw_plan(case, 7) for case in CASES]


def test_the_phases_come_in_surgical_order_with_gaps_between_them(plans: list[Plan]) -> None:
    order = [act.published for act in ACTS]
    for plan in plans:
        names = [span.act.published for span in plan.spans]
        assert [name for name, _ in itertools.groupby(names)] == order
        assert all(later.start_s - earlier.end_s >= 0.8 for earlier, later in pairwise(plan.spans))
        assert plan.spans[0].start_s > 0 and plan.spans[-1].end_s < plan.duration_s
    assert {len(plan.spans) for plan in plans} == {8, 9, 10}, "some phases come twice, in some cases"


def test_each_window_has_its_instant_inside_its_phase_and_a_clip_of_two_and_a_half_to_seven_and_a_half_seconds(
    plans: list[Plan],
) -> None:
    for plan in plans:
        for span in plan.spans:
            last = span.first + len(span.windows) - 1
            assert span.start_s < 5 * span.first and 5 * last < span.end_s
            # No other instant is inside: the number of clips is the number of windows.
            assert 5 * (span.first - 1) < span.start_s and span.end_s < 5 * (last + 1)
            borders = [5 * m + 2.5 for m in range(span.first, last)]
            assert all(2.5 <= b - a <= 7.5 for a, b in pairwise([span.start_s, *borders, span.end_s]))


def test_neither_phase_nor_instruments_can_be_guessed_without_looking(plans: list[Plan]) -> None:
    windows = [(span.act.published, window) for plan in plans for span in plan.spans for window in span.windows]
    assert len(windows) == 13 * len(plans)
    phases = Counter(phase for phase, _ in windows)
    sets = Counter(window.instruments for _, window in windows)
    assert max(phases.values()) / len(windows) < 0.16 and min(phases.values()) / len(windows) > 0.09
    assert max(sets.values()) / len(windows) < 0.25

    def best(key: int) -> float:
        """The share of phases that a reader of the lens (0), of the instruments (1) or of both (2) gets right."""
        groups: dict[object, Counter[str]] = {}
        for phase, window in windows:
            seen = (window.lens, window.instruments, window)[key]
            groups.setdefault(seen, Counter())[phase] += 1
        return sum(max(group.values()) for group in groups.values()) / len(windows)

    assert best(0) < 0.55 and best(1) < 0.82 and best(2) > 0.9


def test_other_seeds_and_other_cases_are_other_surgeries() -> None:
    assert draw_plan("case_1", 7) == draw_plan("case_1", 7)
    assert len({draw_plan(case, seed).spans for case in ("case_1", "case_2") for seed in (7, 8)}) == 4


@pytest.fixture(scope="module")
def film() -> Film:
    return Film(draw_plan("case_9001", 7), 7, (112, 112), 10)


def test_all_through_a_clip_its_instruments_are_in_sight_and_no_others(film: Film) -> None:
    for span in film.plan.spans:
        for time_s in np.arange(math.ceil(span.start_s * 10), span.end_s * 10) / 10:
            wanted = set(span.window(float(time_s)).instruments)
            seen = {one.name: one for one in film.annotation(float(time_s))}
            assert set(seen) - {"Cornea", "Pupil", "Lens"} == wanted, (span.act.published, time_s)
            assert all(polygons.area(seen[name].outline) > 60 for name in wanted), (span.act.published, time_s)


def test_an_annotated_box_holds_its_instrument_s_colour_and_a_frame_without_it_does_not(film: Film) -> None:
    colours = {name: np.array(shape.colour) for name, shape in SHAPES.items()}

    def coloured(picture: np.ndarray, name: str) -> np.ndarray:
        """Where a picture has the colour of an instrument, told from all other instruments."""
        gaps = np.stack([np.abs(picture - colour).max(-1) for colour in colours.values()])
        return (gaps.argmin(0) == list(colours).index(name)) & (gaps.min(0) < 30)

    found = Counter[str]()
    for instant in film.instants():
        picture = film.clean(instant * 5.0).astype(int)
        seen = {one.name: one.outline for one in film.annotation(instant * 5.0)}
        for name in SHAPES:
            where = coloured(picture, name)
            if name in seen:
                x, y, width, height = polygons.bbox(seen[name])
                box = where[math.floor(y) : math.ceil(y + height), math.floor(x) : math.ceil(x + width)]
                assert box.sum() >= 0.15 * polygons.area(seen[name]), (name, instant)
                assert where.sum() - box.sum() <= 3, (name, instant)
                found[name] += 1
            else:
                assert where.sum() <= 3, (name, instant)
    assert len(found) >= 8


def test_noise_and_motion_are_in_every_clip(film: Film) -> None:
    frames = list(itertools.islice(film, 60))
    assert all(not np.array_equal(a, b) for a, b in pairwise(frames))
    residue = frames[0].astype(float) - film.clean(0.0) * film.light(0.0)
    assert 3.5 < residue.std() < 4.5
    span = film.plan.spans[0]
    first, later = film.clean(span.start_s + 0.6).astype(int), film.clean(span.start_s + 1.6).astype(int)
    assert np.abs(first - later).max() > 60


@pytest.mark.parametrize(
    ("points", "area", "box"),
    [
        # A square, a quarter of it inside; one inside; a triangle over the corner; one outside.
        ([(-5, -5), (5, -5), (5, 5), (-5, 5)], 25, (0, 0, 5, 5)),
        ([(1, 1), (3, 1), (3, 4), (1, 4)], 6, (1, 1, 2, 3)),
        ([(0, 10), (10, 0), (20, 20)], 50, (0, 0, 10, 10)),
        ([(20, 20), (30, 20), (30, 30)], 0, None),
    ],
)
def test_polygons_are_cut_off_at_the_border_of_the_image(
    points: list[tuple[float, float]], area: float, box: tuple[float, ...] | None
) -> None:
    inside = polygons.clip(np.array(points, dtype=float), 10, 10)
    if box is None:
        assert len(inside) == 0
    else:
        assert polygons.area(inside) == pytest.approx(area)
        assert polygons.bbox(inside) == pytest.approx(box)
