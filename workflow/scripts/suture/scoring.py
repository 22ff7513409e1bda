"""From predictions to one experiment's entry in metrics.json.

Every number has an interval and stands beside the majority baseline; what
cannot be computed is listed with its reason, never shown as 0. Tasks define
the measures (:mod:`suture.tasks.base`); everything here is the same for all.
"""

from __future__ import annotations

import dataclasses
import math
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from suture import delimited, files
from suture.errors import InputError
from suture.progress import progress
from suture.records import Sample
from suture.splitting import without_repeats
from suture.tasks.base import FloatArray, Measure, Row, Task

RESAMPLES = 2000
SEED = 20261120
LEVEL = 0.95

# Weights drawn at a time; bounds the memory for files with very many cases.
_BLOCK = 4_000_000

MAJORITY = "majority"


def read_rows(path: Path) -> list[Row]:
    """Reads predictions: JSON Lines with id, answer, prediction and optional case, kind, phase, question, turn, scores.

    Keys beyond these are passed over. Units are numbered by :func:`number_units`.

    Raises:
        InputError: there is no row, a key is missing or of the wrong type, or
            an (id, turn) occurs twice.
    """
    rows: list[Row] = []
    seen: dict[tuple[str, int], int] = {}
    for number, values in enumerate(files.read_jsonl(path), start=1):
        where = f"{path}, record {number}"
        row = _row(values, where)
        if (row.id, row.turn) in seen:
            raise InputError(
                f"id {row.id!r}, turn {row.turn} occurs twice, first as record {seen[row.id, row.turn]}",
                where=where,
                fix="give each question of a sample its own `turn` (0, 1, ...), and each sample its own id",
            )
        seen[row.id, row.turn] = number
        rows.append(row)
    if not rows:
        raise InputError("no predictions in this file", where=path, fix="predict first: there is nothing to score")
    return rows


def _row(values: Any, where: str) -> Row:
    if not isinstance(values, dict):
        raise InputError("not a JSON object", where=where, fix="one object a line, with id, answer, prediction")
    missing = [key for key in ("id", "answer", "prediction") if values.get(key) is None]
    if missing:
        raise InputError(
            f"missing: {', '.join(missing)}", where=where, fix="each line needs id, answer (gold) and prediction"
        )
    texts: dict[str, str] = {}
    for key in ("id", "answer", "prediction", "case", "kind", "phase", "question"):
        value = values.get(key)
        if key in ("id", "case") and isinstance(value, int) and not isinstance(value, bool):
            value = str(value)
        if value is not None and not isinstance(value, str):
            raise InputError(
                f"{key} is of type {type(value).__name__}, not a text", where=where, fix="write it as a JSON string"
            )
        texts[key] = value or ""
    turn = values.get("turn", 0)
    if not isinstance(turn, int) or isinstance(turn, bool) or turn < 0:
        raise InputError(f"turn is {turn!r}, not a whole number from 0", where=where)
    return Row(
        id=texts["id"],
        turn=turn,
        answer=texts["answer"],
        prediction=texts["prediction"],
        case=texts["case"],
        kind=texts["kind"],
        phase=texts["phase"],
        question=texts["question"],
        scores=_scores(values.get("scores"), where),
    )


def _scores(scores: Any, where: str) -> dict[str, float]:
    if scores is None:
        return {}
    if not isinstance(scores, dict):
        raise InputError("scores is not an object of choice and number", where=where)
    for value in scores.values():
        if not isinstance(value, int | float) or isinstance(value, bool) or math.isnan(value):
            raise InputError(f"a score is {value!r}, not a number", where=where)
    return {choice: float(value) for choice, value in scores.items()}


def read_groups(path: Path) -> dict[str, str]:
    """Reads which group (a patient, a centre) each case belongs to: CSV with the columns case and group.

    Raises:
        InputError: a column is missing, a cell is empty, or a case has two groups.
    """
    groups: dict[str, str] = {}
    for row in delimited.read(path, {"case": (), "group": ()}, required=["case", "group"]).rows:
        case, group, where = row.cells["case"], row.cells["group"], f"{path}:{row.line}"
        if not case or not group:
            raise InputError("an empty case or group", where=where)
        if groups.setdefault(case, group) != group:
            raise InputError(f"case {case!r} is in two groups: {groups[case]!r} and {group!r}", where=where)
    return groups


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
    its id; then the unit is called ``clip``.

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
    number = {name: i for i, name in enumerate(sorted(set(names)))}
    numbered = [dataclasses.replace(row, unit=number[name]) for row, name in zip(rows, names, strict=True)]
    return Units(rows=numbered, count=len(number), unit=unit, n_cases=n_cases, words=words)


@dataclass(frozen=True, kw_only=True)
class Estimate:
    """A measure's value with the ends of its interval."""

    value: float
    low: float
    high: float

    def to_json(self) -> dict[str, float]:
        """Returns the numbers as metrics.json holds them."""
        return dataclasses.asdict(self)


def draw_weights(n_units: int, resamples: int, rng: np.random.Generator) -> FloatArray:
    """Draws how often each unit occurs in each resample, [resamples, units]; each row sums to ``n_units``."""
    picks = rng.integers(n_units, size=(resamples, n_units))
    picks += np.arange(resamples)[:, None] * n_units
    return np.bincount(picks.ravel(), minlength=resamples * n_units).reshape(resamples, n_units).astype(np.float64)


def bootstrap(measures: Sequence[Measure], n_units: int, *, resamples: int, seed: int) -> list[Estimate | None]:
    """Estimates each measure with its 95 % percentile interval, resampling units with replacement.

    All measures see the same resamples. A measure whose rows come from one
    unit has no interval: its bounds are given, which claim nothing. Resamples
    that hold no row of a measure are left out of its interval. None where a
    measure has no value.

    Source: Efron & Tibshirani, An Introduction to the Bootstrap, ch. 13
    (percentile interval); units as in Davison & Hinkley, sec. 3.8 (clusters).
    """
    ones = np.ones((1, n_units))
    points = [float(measure.statistic(ones)[0]) for measure in measures]
    block = max(1, _BLOCK // n_units)
    sizes = [min(block, resamples - start) for start in range(0, resamples, block)]
    values = np.empty((len(measures), resamples))
    rng = np.random.default_rng(seed)
    done = 0
    for size in progress(sizes, what="resampling", unit="block") if len(sizes) > 1 else sizes:
        weights = draw_weights(n_units, size, rng)
        for i, measure in enumerate(measures):
            values[i, done : done + size] = measure.statistic(weights)
        done += size
    found: list[Estimate | None] = []
    for measure, point, drawn in zip(measures, points, values, strict=True):
        if math.isnan(point):
            found.append(None)
        elif measure.units < 2:
            found.append(Estimate(value=point, low=measure.bounds[0], high=measure.bounds[1]))
        else:
            low, high = np.nanpercentile(drawn, [50 * (1 - LEVEL), 50 * (1 + LEVEL)])
            found.append(_widen(Estimate(value=point, low=float(low), high=float(high)), measure))
    return found


def _widen(estimate: Estimate, measure: Measure) -> Estimate:
    """Opens an interval that the bootstrap closed because every unit is at a bound of the measure.

    No resample can then differ. The other end is that of the exact binomial
    interval with the units as trials: all right in 12 cases is 0.735 to 1.

    Source: Clopper & Pearson (1934), Biometrika 26(4).
    """
    lowest, highest = measure.bounds
    reach = (highest - lowest) * ((1 - LEVEL) / 2) ** (1 / measure.units)
    if estimate.low == estimate.high == highest:
        return dataclasses.replace(estimate, low=lowest + reach)
    if estimate.low == estimate.high == lowest:
        return dataclasses.replace(estimate, high=highest - reach)
    return estimate


def _most_frequent(answers: Iterable[str]) -> str:
    counts = Counter(answers)
    return min(counts, key=lambda answer: (-counts[answer], answer))


def majority_predictions(rows: Sequence[Row], train: Sequence[Sample]) -> tuple[list[str], int]:
    """Answers each row with the most frequent training answer to the same question.

    Ties go to the answer that sorts first. A question that training never
    asked takes the most frequent answer of its kind, or of all. Repeats that
    balance the training samples are not counted: they would move the majority.

    Returns:
        the answers, and how many questions training never asked.
    """
    by_question: dict[str, list[str]] = defaultdict(list)
    by_kind: dict[str, list[str]] = defaultdict(list)
    everything: list[str] = []
    for sample in without_repeats(train):
        for turn in sample.turns:
            by_question[turn.question].append(turn.answer)
            by_kind[turn.kind].append(turn.answer)
            everything.append(turn.answer)
    question_answer = {question: _most_frequent(answers) for question, answers in by_question.items()}
    kind_answer = {kind: _most_frequent(answers) for kind, answers in by_kind.items()}
    overall = _most_frequent(everything)
    predictions = [question_answer.get(row.question, kind_answer.get(row.kind, overall)) for row in rows]
    return predictions, sum(row.question not in question_answer for row in rows)


def entry(
    task: Task,
    units: Units,
    *,
    split: str,
    leaky: bool,
    baselines: Mapping[str, Sequence[str]],
    not_computed: Mapping[str, str],
    resamples: int = RESAMPLES,
    seed: int = SEED,
) -> dict[str, Any]:
    """Makes one experiment's entry in the layout of metrics.json.

    Args:
        task: a module of ``suture/tasks``.
        units: the rows to score.
        split: name of the scored split.
        leaky: whether training saw cases of these rows.
        baselines: predictions of each baseline, one a row.
        not_computed: what the caller already knows cannot be computed, and why.
    """
    rows = units.rows
    task.check(rows)
    asked: list[tuple[tuple[str, ...], Measure]] = []
    asked += [(("metrics",), m) for m in task.measures(rows, units.count)]
    for name, predictions in sorted(baselines.items()):
        answered = [dataclasses.replace(row, prediction=said) for row, said in zip(rows, predictions, strict=True)]
        asked += [(("baselines", name), m) for m in task.measures(answered, units.count)]
    for axis in ("kind", "phase"):
        for name in sorted({getattr(row, axis) for row in rows} - {""}):
            mine = [row for row in rows if getattr(row, axis) == name]
            found = task.measures(mine, units.count)
            # Among the rows of one kind, acc@KIND is acc once more.
            asked += [(("by", axis, name), m) for m in found if axis != "kind" or not m.key.endswith(f"@{name}")]

    estimates = bootstrap([m for _, m in asked], units.count, resamples=resamples, seed=seed)
    made: dict[str, Any] = {"metrics": {}, "baselines": {}, "by": {}}
    missing = dict(not_computed)
    interval = (
        f"{LEVEL:.0%} percentile bootstrap over {units.count} {units.words}, {resamples} resamples, seed {seed}; "
        "exact binomial where all are at one bound"
    )
    for (place, measure), estimate in zip(asked, estimates, strict=True):
        target = made
        for step in place:
            target = target.setdefault(step, {})
        if estimate is None:
            if place == ("metrics",):
                missing[measure.key] = "no row from which it can be computed"
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
    return {
        "split": split,
        "unit": units.unit,
        "leaky": leaky,
        "n_samples": len({row.id for row in rows}),
        "n_cases": units.n_cases,
        **made,
        "not_computed": missing,
    }
