"""Tasks whose questions have a measure each: all experiments question by question, and part by part of the data."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from suture.reporting.verdict import BLIND, Outcome, compare, label, own_keys

ALL = "all"


@dataclass(frozen=True, kw_only=True)
class Cell:
    """One number of the table, as shares of 1. ``bar`` is the highest baseline that has not seen the media."""

    value: float
    low: float
    high: float
    n: int
    bar: float | None
    outcome: Outcome


@dataclass(frozen=True, kw_only=True)
class Row:
    """An experiment's numbers on a part of the data (a category of images, a phase); None where it has none."""

    part: str
    experiment: str
    leaky: bool
    cells: tuple[Cell | None, ...]


@dataclass(frozen=True, kw_only=True)
class Question:
    """One question over all experiments: each one's cell, their mean, and the mean of their bars."""

    key: str
    label: str
    cells: tuple[Cell, ...]
    mean: float
    bar: float | None

    @property
    def above(self) -> int:
        """How many of those that have a baseline are above it."""
        return sum(cell.outcome is Outcome.BEATS for cell in self.cells)

    @property
    def compared(self) -> int:
        """How many have a baseline, and are not leaky."""
        return sum(cell.outcome in (Outcome.BEATS, Outcome.FAILS) for cell in self.cells)


@dataclass(frozen=True, kw_only=True)
class ByQuestion:
    """Everything that the page shows by question; ``labels`` are the table's columns."""

    questions: tuple[Question, ...]
    labels: tuple[str, ...]
    rows: tuple[Row, ...]


def compile_questions(experiments: Mapping[str, Any]) -> ByQuestion | None:
    """Puts the experiments whose task has a measure for each question beside each other; None where none has.

    An experiment on one part of the data stands there beside those that were
    trained on more: what these reach on that part alone is in their ``by``.
    """
    asked = {name: entry for name, entry in sorted(experiments.items()) if own_keys(entry)}
    if not asked:
        return None
    keys = list(dict.fromkeys(key for entry in asked.values() for key in own_keys(entry)))
    columns = [*(["primary"] if any("primary" in entry["metrics"] for entry in asked.values()) else []), *keys]
    rows = []
    for name, entry in asked.items():
        parts = entry["by"].get("phase", {})
        whole = next(iter(parts)) if len(parts) == 1 else ALL
        rows.append(_row(whole, name, entry, entry["metrics"], entry["baselines"], columns))
        if len(parts) > 1:
            rows += [_row(part, name, entry, found, {}, columns) for part, found in parts.items()]
    # Those trained on that part alone first: their baselines are the part's.
    rows.sort(key=lambda row: (row.part == ALL, row.part, all(c is None or c.bar is None for c in row.cells)))
    cells = {
        key: [c for entry in asked.values() if (c := _cell(key, entry, entry["metrics"], entry["baselines"]))]
        for key in keys
    }
    return ByQuestion(
        questions=tuple(_question(key, cells[key]) for key in keys),
        labels=tuple(map(label, columns)),
        rows=tuple(rows),
    )


def _row(
    part: str,
    name: str,
    entry: Mapping[str, Any],
    found: Mapping[str, Any],
    baselines: Mapping[str, Any],
    columns: list[str],
) -> Row:
    return Row(
        part=part,
        experiment=name,
        leaky=entry["leaky"],
        cells=tuple(_cell(key, entry, found, baselines) for key in columns),
    )


def _cell(key: str, entry: Mapping[str, Any], found: Mapping[str, Any], baselines: Mapping[str, Any]) -> Cell | None:
    if key not in found:
        return None
    one = found[key]
    bar = max((b[key]["value"] for name, b in baselines.items() if name in BLIND and key in b), default=None)
    outcome = Outcome.LEAKY if entry["leaky"] else compare(one["low"], bar)
    return Cell(value=one["value"], low=one["low"], high=one["high"], n=one["n"], bar=bar, outcome=outcome)


def _question(key: str, cells: list[Cell]) -> Question:
    bars = [cell.bar for cell in cells if cell.bar is not None]
    return Question(
        key=key,
        label=label(key),
        cells=tuple(cells),
        mean=sum(cell.value for cell in cells) / len(cells),
        bar=sum(bars) / len(bars) if bars else None,
    )
