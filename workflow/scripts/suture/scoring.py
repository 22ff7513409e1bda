"""From predictions to one experiment's entry in metrics.json.

Every number has an interval and stands beside its baselines; what cannot be
computed is listed with its reason, never shown as 0. Tasks define the measures
(:mod:`suture.tasks.base`); everything here is the same for all.
"""

from __future__ import annotations

import dataclasses
import random
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from suture.baselines import BLIND, MAJORITY
from suture.config.scoring import RESAMPLES, SEED
from suture.errors import InputError
from suture.statistics import LEVEL, Estimate, bootstrap
from suture.tasks.base import NOTHING_MORE, Context, Measure, Missing, Row, Task, kinds_of

MOST_UNITS = 1000
"""Above so many, cases are resampled in this many groups of equal size, dealt by chance: the interval is the same
but for about 2 %, and rankings of very many rows stay quick."""

AXES = ("kind", "phase")
"""Properties of rows that numbers are broken down by."""


@dataclass(frozen=True, kw_only=True)
class Units:
    """What is resampled: the rows with their unit numbered, and what a unit is called."""

    rows: list[Row]
    count: int
    unit: str
    n_cases: int
    words: str


def number_units(rows: Sequence[Row], groups: Mapping[str, str] | None = None) -> Units:
    """Numbers the resampling units: cases, or groups of cases, in sorted order.

    A row without a case is a unit of its own together with the other turns of
    its id; then the unit is called ``clip``. Above :data:`MOST_UNITS`, groups of
    equal size are resampled.

    Raises:
        InputError: ``groups`` are given and a case is in none of them.
    """
    names = [("case", row.case) if row.case else ("clip", row.id) for row in rows]
    unit = "case" if all(kind == "case" for kind, _ in names) else "clip"
    n_cases = len(set(names))
    words = "cases" if unit == "case" else "clips, for want of case ids"
    if groups is not None:
        ungrouped = sorted({name for kind, name in names if kind == "clip" or name not in groups})
        if ungrouped:
            raise InputError(
                f"{len(ungrouped)} cases are in no group, first: {ungrouped[0]!r}",
                fix="name each case of the predictions in the file of --groups",
            )
        names = [("group", groups[name]) for _, name in names]
        words = "groups of cases"
    ordered = sorted(set(names))
    if len(ordered) > MOST_UNITS:
        random.Random(SEED).shuffle(ordered)
        words = f"groups dealt by chance of {len(ordered)} {words}"
    number = {name: i % MOST_UNITS for i, name in enumerate(ordered)}
    numbered = [dataclasses.replace(row, unit=number[name]) for row, name in zip(rows, names, strict=True)]
    return Units(rows=numbered, count=min(len(number), MOST_UNITS), unit=unit, n_cases=n_cases, words=words)


def with_observed(context: Context, rows: Sequence[Row]) -> Context:
    """Adds the answers and scored choices that occur, which stand for labels that were not given."""
    occurring = {row.answer for row in rows}.union(*(row.scores for row in rows))
    return dataclasses.replace(context, observed=tuple(sorted(occurring)))


def interval_words(units: Units, resamples: int, seed: int) -> str:
    """Words how the intervals were made."""
    return f"{LEVEL:.0%} percentile bootstrap over {units.count} {units.words}, {resamples} resamples, seed {seed}"


def entry(
    task: Task,
    units: Units,
    *,
    split: str,
    leaky: bool,
    baselines: Mapping[str, Sequence[Row]],
    not_computed: Mapping[str, str],
    context: Context = NOTHING_MORE,
    resamples: int = RESAMPLES,
    seed: int = SEED,
) -> dict[str, Any]:
    """Makes one experiment's entry in the layout of metrics.json.

    Args:
        task: a module of ``suture/tasks``.
        units: the rows to score.
        split: name of the scored split.
        leaky: whether training saw cases of these rows.
        baselines: the rows as each baseline answers them, by its name.
        not_computed: what the caller already knows cannot be computed, and why.
        context: what the task is told beside the rows.
        resamples: number of bootstrap resamples.
        seed: of the resampling.
    """
    rows = units.rows
    context = with_observed(context, rows)
    task.check(rows, context)
    missing = dict(not_computed)
    asked: list[tuple[tuple[str, ...], Measure]] = []
    for one in task.measures(rows, units.count, context):
        if isinstance(one, Missing):
            missing[one.key] = one.reason
        else:
            asked.append((("metrics",), one))
    for name, answered in sorted(baselines.items()):
        asked += [(("baselines", name), m) for m in _only(task.measures(answered, units.count, context))]
    for axis in AXES:
        for name in sorted({name for row in rows for name in _groups(row, axis)}):
            mine = [row for row in rows if name in _groups(row, axis)]
            found = _only(task.measures(mine, units.count, context))
            # Among the rows of one kind, acc@KIND is acc once more.
            found = [m for m in found if m.classes != axis and not (axis == "kind" and m.key == f"acc@{name}")]
            asked += [(("by", axis, name), m) for m in found]

    estimates = bootstrap([m for _, m in asked], units.count, resamples=resamples, seed=seed)
    estimates = _at_least_the_majority(asked, estimates)
    made: dict[str, Any] = {"metrics": {}, "baselines": {}, "by": {}}
    interval = f"{interval_words(units, resamples, seed)}; exact binomial where all are at one bound"
    for (place, measure), estimate in zip(asked, estimates, strict=True):
        target = made
        for step in place:
            target = target.setdefault(step, {})
        if estimate is None:
            if place == ("metrics",):
                missing[measure.key] = measure.undefined
            continue
        target[measure.key] = estimate.to_json()
        if place[0] != "baselines":
            target[measure.key]["n"] = measure.n
        if place == ("metrics",):
            target[measure.key]["definition"] = f"{measure.definition}; interval: {interval}"
            if measure.units < 2:
                missing[f"interval:{measure.key}"] = (
                    "all rows come from one case, which cannot be resampled: the lowest and highest possible value "
                    "stand in its place"
                )
                target[measure.key]["definition"] = f"{measure.definition}; no interval: one case"
    tables = task.tables(rows, context)
    return {
        "split": split,
        "unit": units.unit,
        "leaky": leaky,
        "n_samples": len({row.id for row in rows}),
        "n_cases": units.n_cases,
        **made,
        **({"tables": tables} if tables else {}),
        "not_computed": missing,
    }


def _groups(row: Row, axis: str) -> tuple[str, ...]:
    """Returns what a row is counted under on an axis."""
    return kinds_of(row) if axis == "kind" else tuple(filter(None, (row.phase,)))


def _at_least_the_majority(
    asked: Sequence[tuple[tuple[str, ...], Measure]], estimates: Sequence[Estimate | None]
) -> list[Estimate | None]:
    """Puts the majority's number in the place of the blind model's where it is better.

    Both know the question alone. A blind model that learnt little would flatter the one that sees.
    """
    majority = {
        m.key: estimate
        for (place, m), estimate in zip(asked, estimates, strict=True)
        if place == ("baselines", MAJORITY) and estimate is not None
    }

    def better(measure: Measure, blind: Estimate | None) -> Estimate | None:
        other = majority.get(measure.key, blind)
        if blind is None or other is None:
            return other
        ahead = blind.value - other.value if measure.lower_is_better else other.value - blind.value
        return other if ahead > 0 else blind

    return [
        better(measure, estimate) if place == ("baselines", BLIND) else estimate
        for (place, measure), estimate in zip(asked, estimates, strict=True)
    ]


def _only(found: Sequence[Measure | Missing]) -> list[Measure]:
    return [one for one in found if isinstance(one, Measure)]
