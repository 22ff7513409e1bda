"""An experiment's results taken apart: by kind, phase and case, what is taken for what, and how sure it is."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from suture.reporting.samples import CaseScore
from suture.reporting.verdict import label, leading_keys

MOST_CLASSES = 20
"""Above so many classes a matrix is no picture: only its most frequent mistakes are shown."""
MISTAKES = 5
MOST_CURVES = 6
"""Classes whose curves are drawn, the first of them; metrics.json has all."""
MOST_GROUPS = 24
"""Groups drawn of one property, the worst of them; the tables have all."""


@dataclass(frozen=True, kw_only=True)
class Group:
    """One number of a part of the rows: its value and interval as shares of 1, no interval where it has none."""

    name: str
    n: int
    value: float
    low: float | None
    high: float | None


@dataclass(frozen=True, kw_only=True)
class Breakdown:
    """One measure by one property of the rows, the worst group first; ``hidden`` groups are better than those."""

    axis: str
    words: str
    groups: tuple[Group, ...]
    hidden: int


@dataclass(frozen=True, kw_only=True)
class Mistake:
    """Rows of one class that were given another: how many, of how many of that class."""

    gold: str
    predicted: str
    count: int
    of: int


@dataclass(frozen=True, kw_only=True)
class Matrix:
    """A confusion matrix: ``cells`` are (count, share of its gold class, is right), by gold class and prediction."""

    gold: tuple[str, ...]
    predicted: tuple[str, ...]
    cells: tuple[tuple[tuple[int, float, bool], ...], ...]
    drawn: bool
    mistakes: tuple[Mistake, ...]


@dataclass(frozen=True, kw_only=True)
class Bin:
    """Answers of one range of confidence; shares of 1, ``size`` as share of the fullest bin."""

    low: float
    high: float
    n: int
    confidence: float
    accuracy: float
    size: float


@dataclass(frozen=True, kw_only=True)
class Curves:
    """ROC and precision-recall curve of one class as points of SVG polylines, 100 wide, 100 high, y downwards."""

    name: str
    roc: str
    precision_recall: str


@dataclass(frozen=True, kw_only=True)
class Parts:
    """Everything that the page takes apart of one experiment."""

    breakdowns: tuple[Breakdown, ...]
    matrix: Matrix | None
    calibration: tuple[Bin, ...]
    curves: tuple[Curves, ...]


def take_apart(entry: Mapping[str, Any], cases: Sequence[CaseScore], *, judged: bool, with_words: bool) -> Parts:
    """Reads the parts of an experiment's entry that are drawn.

    Args:
        entry: of metrics.json.
        cases: scores by case, the worst first.
        judged: answers are right or wrong.
        with_words: cases may be named, and classes, which can be answers.
    """
    breakdowns = [
        made
        for axis, groups in sorted(entry["by"].items())
        if (with_words or axis != "case") and (made := _by(axis, groups))
    ]
    if cases and not (with_words and "case" in entry["by"]):
        named = [
            Group(name=score.case if with_words else f"case {i}", n=score.n, value=score.value, low=None, high=None)
            for i, score in enumerate(cases, start=1)
        ]
        words = "right answers" if judged else "words in common with the gold text"
        breakdowns.append(_cut("case", words, named))
    tables = entry.get("tables", {})
    return Parts(
        breakdowns=tuple(breakdowns),
        matrix=_matrix(tables["confusion"]) if with_words and tables.get("confusion") else None,
        calibration=_bins(tables.get("calibration") or ()),
        curves=_curves(tables.get("curves") or {}) if with_words else (),
    )


def _by(axis: str, groups: Mapping[str, Any]) -> Breakdown | None:
    shared = {key: max(groups.values(), key=lambda g: key in g)[key] for key in {k for g in groups.values() for k in g}}
    keys = leading_keys(shared)
    if not keys:
        return None
    found = [
        Group(
            name=name,
            n=group[keys[0]]["n"],
            value=group[keys[0]]["value"],
            # 0 to 1 stands for no interval: all rows come from one case.
            low=None if (group[keys[0]]["low"], group[keys[0]]["high"]) == (0, 1) else group[keys[0]]["low"],
            high=group[keys[0]]["high"],
        )
        for name, group in groups.items()
        if keys[0] in group
    ]
    words = "right answers" if keys[0] == "acc" else label(keys[0])
    return _cut(axis, words, sorted(found, key=lambda group: (group.value, group.name)))


def _cut(axis: str, words: str, groups: list[Group]) -> Breakdown:
    return Breakdown(
        axis=axis, words=words, groups=tuple(groups[:MOST_GROUPS]), hidden=max(0, len(groups) - MOST_GROUPS)
    )


def _matrix(confusion: Mapping[str, Any]) -> Matrix:
    gold, predicted, counts = confusion["gold"], confusion["predicted"], confusion["counts"]
    totals = [sum(row) or 1 for row in counts]
    mistakes = [
        Mistake(gold=g, predicted=p, count=n, of=total)
        for g, row, total in zip(gold, counts, totals, strict=True)
        for p, n in zip(predicted, row, strict=True)
        if n and g != p
    ]
    mistakes.sort(key=lambda one: (-one.count, one.gold, one.predicted))
    return Matrix(
        gold=tuple(gold),
        predicted=tuple(predicted),
        cells=tuple(
            tuple((n, n / total, g == p) for p, n in zip(predicted, row, strict=True))
            for g, row, total in zip(gold, counts, totals, strict=True)
        ),
        drawn=max(len(gold), len(predicted)) <= MOST_CLASSES,
        mistakes=tuple(mistakes[:MISTAKES]),
    )


def _bins(rows: Sequence[Mapping[str, Any]]) -> tuple[Bin, ...]:
    fullest = max((row["n"] for row in rows), default=1) or 1
    return tuple(
        Bin(
            low=row["low"],
            high=row["high"],
            n=row["n"],
            confidence=row["confidence"],
            accuracy=row["accuracy"],
            size=row["n"] / fullest,
        )
        for row in rows
    )


def _curves(points: Mapping[str, Sequence[Sequence[float]]]) -> tuple[Curves, ...]:
    """Draws rows of (threshold, false positive rate, true positive rate, precision), from the highest threshold on."""
    return tuple(
        Curves(
            name=name,
            roc=_polyline([(0.0, 0.0), *((alarms, hits) for _, alarms, hits, _ in rows)]),
            # Average precision is the area under steps: a precision holds for the recall that it adds.
            precision_recall=_polyline(
                [
                    point
                    for before, (_, _, hits, precision) in zip([0.0, *(row[2] for row in rows)], rows, strict=False)
                    for point in ((before, precision), (hits, precision))
                ]
            ),
        )
        for name, rows in list(points.items())[:MOST_CURVES]
        if rows
    )


def _polyline(points: Sequence[tuple[float, float]]) -> str:
    return " ".join(f"{100 * x:.2f},{100 * (1 - y):.2f}" for x, y in points)
