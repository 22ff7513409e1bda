"""The drawing of the rule graph and the curves by their geometry; the pictures by their bytes."""

from __future__ import annotations

import math
import re
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

import report
import sampling_dashboard
from report_run import arguments, estimate, full_entry, write_run
from support import call
from suture import sampled_frames
from suture.errors import InputError
from suture.frame_draws import Draws
from suture.reporting import breakdown, dag, plots, verdict
from suture.reporting.dag import Graph
from suture.reporting.media import Pictures
from suture.reporting.samples import CaseScore
from suture.sampled_frames import Drawn


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


@pytest.fixture
def cache(tmp_path: Path) -> Path:
    """A frame cache of one clip of 8 noisy frames."""
    write_run(tmp_path, {})
    noise = np.random.default_rng(0).integers(0, 256, (16, 28, 28, 3), dtype=np.uint8)
    np.save(tmp_path / "shard-0.npy", noise)
    return tmp_path / "shard-0.jsonl"


def test_pictures_are_thinned_before_they_are_left_out(cache: Path) -> None:
    def frames(budget: int, parts: int = 1) -> list[int]:
        pictures = Pictures([cache], budget=budget, parts=parts)
        found = []
        for _ in range(parts):
            pictures.next_part()
            found += [strip.frames if strip else 0 for strip in (pictures.strip("clip_1"), pictures.strip("clip_2"))]
        assert pictures.thinned == sum(n in (1, 2) for n in found) and pictures.left_out == found.count(0)
        return found

    whole = Pictures([cache])
    whole.next_part()
    strip = whole.strip("clip_1")
    assert strip is not None and (strip.frames, strip.width, strip.height) == (4, 112, 28)
    size = len(strip.uri)
    assert frames(10 * size) == [4, 4]
    assert frames(int(1.7 * size)) == [4, 2]
    assert frames(int(1.4 * size)) == [4, 1]
    assert frames(size) == [4, 0] and frames(10) == [0, 0]
    # A part takes no more than its share, and leaves the next what it did not need.
    assert frames(2 * int(1.1 * size), parts=2) == [4, 0, 4, 0]
    assert whole.strip("clip_0") is None and whole.left_out == 0, "no cached frame is no want of room"


def test_a_page_that_would_be_too_large_loses_pictures_first(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write_run(tmp_path, {"one": full_entry(1)})
    flags = arguments(tmp_path, ["one"])
    call(report, *flags)
    page = (tmp_path / "report.html").read_text()
    assert page.count("data:image") == 2 and "near its size limit" not in page
    bare = len(re.sub(r'"data:image[^"]*"', "", page).encode())
    monkeypatch.setattr(report, "BUDGET", 1200)
    monkeypatch.setattr(report, "LARGEST", bare + 600)
    call(report, *flags)
    page = (tmp_path / "report.html").read_text()
    assert "data:image" not in page and "2 strips of frames left out" in page
    assert len(page.encode()) <= bare + 600
    monkeypatch.setattr(report, "LARGEST", bare // 2)
    with pytest.raises(InputError, match="without a picture"):
        call(report, *flags)


def test_a_large_matrix_is_told_by_its_mistakes() -> None:
    names = [f"class {i}" for i in range(30)]
    counts = [[9 if g == p else 3 if (g, p) == (1, 2) else 0 for p in range(30)] for g in range(30)]
    entry = {"by": {}, "tables": {"confusion": {"gold": names, "predicted": names, "counts": counts}}}
    matrix = breakdown.take_apart(entry, (), judged=True, with_words=True).matrix
    assert matrix is not None and not matrix.drawn
    assert [(one.gold, one.predicted, one.count, one.of) for one in matrix.mistakes] == [("class 1", "class 2", 3, 12)]
    assert breakdown.take_apart(entry, (), judged=True, with_words=False).matrix is None


def test_cases_of_credentialed_data_are_numbered() -> None:
    entry = {"by": {"case": {"case_7": {"acc": estimate(0.5, 0.4, 0.6)}}}, "tables": {}}
    scores = (CaseScore(case="case_7", n=4, value=0.5),)
    named = breakdown.take_apart(entry, scores, judged=True, with_words=True)
    assert [group.name for one in named.breakdowns for group in one.groups] == ["case_7"]
    numbered = breakdown.take_apart(entry, scores, judged=True, with_words=False)
    assert [group.name for one in numbered.breakdowns for group in one.groups] == ["case 1"]


def test_curves_are_those_of_their_points() -> None:
    # Four rows: hit, false alarm, hit, and the rest (threshold, false positive rate, true positive rate, precision).
    rows = [[0.9, 0.0, 0.5, 1.0], [0.7, 0.5, 0.5, 0.5], [0.6, 0.5, 1.0, 2 / 3], [0.1, 1.0, 1.0, 0.5]]
    entry = {"by": {}, "tables": {"curves": {"immobile": rows, "none": []}}}
    (curve,) = breakdown.take_apart(entry, (), judged=True, with_words=True).curves
    assert curve.name == "immobile"
    assert curve.roc == "0.00,100.00 0.00,50.00 50.00,50.00 50.00,0.00 100.00,0.00"
    steps = [tuple(map(float, point.split(","))) for point in curve.precision_recall.split()]
    area = sum((b[0] - a[0]) * (100 - a[1]) for a, b in zip(steps[::2], steps[1::2], strict=True)) / 1e4
    assert area == pytest.approx(0.5 * 1 + 0.5 * 2 / 3, abs=1e-4), "the area is the average precision"
    assert breakdown.take_apart(entry, (), judged=True, with_words=False).curves == (), "classes can be answers"


def test_the_page_tells_which_frames_were_drawn(tmp_path: Path) -> None:
    classified = full_entry(1)
    classified["tables"]["curves"] = {"immobile": [[0.9, 0.0, 0.5, 1.0], [0.2, 1.0, 1.0, 0.5]]}
    write_run(tmp_path, {"one": classified})
    draws = Draws(method="random_window", count=4)
    rows = [
        Drawn(
            path="a.mp4", total_frames=40, method="random_window", indices=tuple(draws.indices(40, "a", round_=number)),
            round=number, label="0", epoch=0, clip="a",
        )
        for number in (0, 2)
    ]  # fmt: skip
    sampled_frames.write(tmp_path / "csv/sampling_indices_one_random_window_train_augstep2.csv", rows)
    numbers = tmp_path / "sampling.json"
    page = tmp_path / "sampling.html"
    call(sampling_dashboard, "--csv-dir", tmp_path / "csv", "--numbers", numbers, "--output", page)
    call(report, *arguments(tmp_path, ["one"]), "--sampling", numbers)
    html = (tmp_path / "report.html").read_text()
    section = html.split('<section id="sampling"')[1].split("</section>")[0]
    assert [
        re.sub("<.*?>", " ", row).split()[:5]
        for row in re.findall('<tr>\\s*<th scope="row.*?</tr>', section, re.DOTALL)
    ] == [
        ["train", "random_window", "all", "2", "1"],
        ["train", "random_window", "0", "1", "1"],
        ["train", "random_window", "2", "1", "1"],
    ]
    assert section.count("<rect") == 3 * 20 and "<script" not in html
    assert "Ranked by how sure it is: immobile" in html and html.count("<polyline") >= 2
    with pytest.raises(InputError, match="no sampling indices here"):
        call(sampling_dashboard, "--csv-dir", tmp_path, "--output", page)


@pytest.mark.parametrize(("count", "said"), [(2, "Both experiments beat"), (3, "All 3 experiments beat")])
def test_the_headline_where_all_beat_what_sees_nothing(count: int, said: str) -> None:
    one = SimpleNamespace(lines=("a measure",), outcome=verdict.Outcome.BEATS)
    assert verdict.headline([one] * count).startswith(said)
