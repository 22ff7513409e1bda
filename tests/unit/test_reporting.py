"""The drawing of the rule graph and the curves, by their geometry."""

from __future__ import annotations

import math

import pytest

from suture.errors import InputError
from suture.reporting import dag, plots
from suture.reporting.dag import Graph


def mermaid(rules: list[str], edges: list[tuple[int, int]]) -> str:
    nodes = "".join(f"\tid{i}[{rule}]\n" for i, rule in enumerate(rules))
    return "flowchart TB\n" + nodes + "".join(f"\tid{a} --> id{b}\n" for a, b in edges)


def test_every_arrow_points_down_and_no_boxes_touch() -> None:
    # Rules 0 to 29, each feeding two later ones: wide, deep, with long arrows.
    edges = [(i, j) for i in range(30) for j in (i + 1 + i % 3, i + 4) if j < 30]
    drawing = dag.draw(dag.parse_mermaid(mermaid([f"rule_number_{i}" for i in range(30)], edges), where="x"))
    boxes = {box.label: box for box in drawing.boxes}
    assert all(boxes[a].y < boxes[b].y for a, b in drawing.edges)
    for box in drawing.boxes:
        assert box.x >= 0 and box.x + box.width <= drawing.width
        assert box.y >= 0 and box.y + dag.NODE_HEIGHT <= drawing.height
        for other in drawing.boxes:
            if other.y == box.y and other.x > box.x:
                assert box.x + box.width < other.x


def test_what_is_left_out_is_implied_by_what_is_drawn() -> None:
    edges = [(0, 1), (1, 2), (0, 2), (2, 3), (0, 3), (4, 3)]
    drawing = dag.draw(dag.parse_mermaid(mermaid(list("abcde"), edges), where="x"))
    assert set(drawing.edges) == {("a", "b"), ("b", "c"), ("c", "d"), ("e", "d")}


def test_rules_that_feed_themselves_or_lead_back_are_drawn_and_said() -> None:
    # Snakemake's graph of rules has a cycle where two rules feed each other with different wildcards.
    drawing = dag.draw(Graph(labels=("a", "b", "c"), edges=((0, 1), (1, 1), (1, 2), (2, 1))))
    assert [box.repeats for box in drawing.boxes] == [False, True, False]
    assert set(drawing.edges) == {("a", "b"), ("b", "c")}
    assert drawing.back == (("c", "b"),)
    assert dag.draw(Graph(labels=("a", "b"), edges=((0, 1), (1, 0)))).back == (("b", "a"),)


def test_an_edge_to_nowhere_is_named() -> None:
    with pytest.raises(InputError, match="unknown node 'id7'"):
        dag.parse_mermaid("\tid0[a]\n\tid0 --> id7\n", where="x")


@pytest.mark.parametrize(
    ("low", "high", "expected"),
    [(0, 4, [0, 1, 2, 3, 4]), (0, 0.7, [0, 0.2, 0.4, 0.6, 0.8]), (0, 400, [0, 100, 200, 300, 400]), (3, 3, [3])],
)
def test_ticks_are_round_and_cover_the_data(low: float, high: float, expected: list[float]) -> None:
    assert plots.ticks(low, high) == expected


def test_a_curve_starts_and_ends_where_its_data_do() -> None:
    drawn = plots.plot({"loss": [(0.0, 4.0), (50.0, math.nan), (100.0, 1.0)]})
    assert drawn is not None
    # The axis runs from 0 to 4: 4 is its top (0 from above), 1 is three quarters down. The NaN is no point.
    assert drawn.curves[0].points == "0.00,0.00 100.00,75.00"
    assert plots.plot({"loss": [(1.0, math.inf)]}) is None


def test_long_curves_are_thinned_and_keep_their_ends() -> None:
    drawn = plots.plot({"loss": [(float(i), 1.0 + i % 7) for i in range(100_000)]})
    assert drawn is not None
    points = drawn.curves[0].points.split()
    assert len(points) == plots.POINTS
    assert (points[0].split(",")[0], points[-1].split(",")[0]) == ("0.00", "100.00")


def test_a_curve_of_one_point_is_drawn_at_its_own_place() -> None:
    drawn = plots.plot({"training": [(0, 1.0), (400, 0.5)], "validation": [(400, 0.1)]})
    assert drawn is not None
    xs = [float(point.split(",")[0]) for point in drawn.curves[1].points.split()]
    assert min(xs) >= 98 and max(xs) == 100
