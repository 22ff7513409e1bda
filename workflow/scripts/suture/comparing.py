"""Is one run better than another? Paired, on the same questions, with a correction for how often it is asked."""

from __future__ import annotations

import dataclasses
import itertools
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from suture.errors import InputError
from suture.scoring import Units, interval_words, number_units, with_observed
from suture.statistics import Difference, holm, mcnemar, paired_bootstrap
from suture.tasks.base import Context, Measure, Row, Task
from suture.tasks.open_vqa import normalise

SCHEMA = 1
ALPHA = 0.05
"""A difference counts where its corrected p is below this."""


@dataclass(frozen=True, kw_only=True)
class Contest:
    """Runs that answered the same questions, by name, and what their task is told beside the rows."""

    task: Task
    context: Context
    runs: Mapping[str, Sequence[Row]]


def compare(
    contests: Sequence[Contest],
    *,
    groups: Mapping[str, str] | None,
    keys: Sequence[str] | None,
    resamples: int,
    seed: int,
) -> dict[str, Any]:
    """Compares each run with each later one of its contest.

    A difference is the second run's number less the first's, over resamples of
    cases that both see. Its p is corrected by Holm for all differences of all contests.

    Args:
        contests: at least two runs each.
        groups: group of each case, where groups are resampled.
        keys: the numbers to compare; None: all. Fewer asked are fewer corrected for.
        resamples: of the bootstrap.
        seed: of the resampling.

    Raises:
        InputError: the runs of a contest did not answer the same questions, or have no such number.
    """
    found: list[tuple[dict[str, Any], list[tuple[str, Measure, Difference]]]] = []
    for contest in contests:
        names = list(contest.runs)
        units = number_units(contest.runs[names[0]], groups)
        rows = {names[0]: units.rows}
        rows |= {name: _as_answered(units, names[0], contest.runs[name], name) for name in names[1:]}
        contest.task.check(units.rows, with_observed(contest.context, units.rows))
        observed = with_observed(contest.context, [row for one in rows.values() for row in one])
        measured = {
            name: {m.key: m for m in contest.task.measures(one, units.count, observed) if isinstance(m, Measure)}
            for name, one in rows.items()
        }
        for first, second in itertools.combinations(names, 2):
            shared = [key for key in measured[first] if key in measured[second]]
            if absent := [key for key in keys or [] if key not in shared]:
                raise InputError(f"{first} and {second} have no {absent[0]!r}", fix=f"there are {', '.join(shared)}")
            asked = [key for key in shared if keys is None or key in keys]
            pairs = [(measured[first][key], measured[second][key]) for key in asked]
            drawn = paired_bootstrap(pairs, units.count, resamples=resamples, seed=seed)
            told = [(key, pair[1], one) for key, pair, one in zip(asked, pairs, drawn, strict=True) if one is not None]
            about = {
                "first": first,
                "second": second,
                "n_samples": len({row.id for row in units.rows}),
                "n_cases": units.n_cases,
                "unit": units.unit,
                "interval": interval_words(units, resamples, seed),
                "mcnemar": _mcnemar(rows[first], rows[second]),
            }
            found.append((about, told))
    corrected = iter(holm([one.p for _, told in found for _, _, one in told]))
    comparisons = [
        {**about, "metrics": {key: _said(measure, one, next(corrected)) for key, measure, one in told}}
        for about, told in found
    ]
    return {
        "schema": SCHEMA,
        "alpha": ALPHA,
        "corrected_for": sum(len(told) for _, told in found),
        "comparisons": comparisons,
    }


def _as_answered(units: Units, first: str, others: Sequence[Row], name: str) -> list[Row]:
    """Returns the first run's rows as another run answered them.

    Raises:
        InputError: a question was asked in one of the two only, or has two gold answers.
    """
    theirs = {(row.id, row.turn): row for row in others}
    mine = {(row.id, row.turn) for row in units.rows}
    alone = {first: sorted(mine - theirs.keys()), name: sorted(theirs.keys() - mine)}
    if any(alone.values()):
        counts = ", ".join(f"{len(one)} only by {who}" for who, one in alone.items() if one)
        example = next(one[0] for one in alone.values() if one)
        raise InputError(
            f"{first} and {name} did not answer the same questions: {counts}; first: id {example[0]!r}, "
            f"turn {example[1]}",
            fix="compare runs with the same split, questions and cases",
        )
    said = [theirs[row.id, row.turn] for row in units.rows]
    other = next((row for row, one in zip(units.rows, said, strict=True) if row.answer != one.answer), None)
    if other is not None:
        raise InputError(
            f"{first} and {name} have different gold answers to id {other.id!r}, turn {other.turn}",
            fix="compare runs on the same questions and answers",
        )
    return [
        dataclasses.replace(row, prediction=one.prediction, scores=one.scores)
        for row, one in zip(units.rows, said, strict=True)
    ]


def _mcnemar(first: Sequence[Row], second: Sequence[Row]) -> dict[str, float]:
    right = [
        tuple(normalise(row.prediction) == normalise(row.answer) for row in pair)
        for pair in zip(first, second, strict=True)
    ]
    only_first, only_second = (right.count(one) for one in ((True, False), (False, True)))
    return {"only_first": only_first, "only_second": only_second, "p": mcnemar(only_first, only_second)}


def _said(measure: Measure, one: Difference, p_holm: float) -> dict[str, Any]:
    ahead = -one.value if measure.lower_is_better else one.value
    better = ("second" if ahead > 0 else "first") if p_holm < ALPHA else "neither"
    return {
        "first": one.first,
        "second": one.second,
        "difference": one.value,
        "low": one.low,
        "high": one.high,
        "p": one.p,
        "p_holm": p_holm,
        "better": better,
        "n": measure.n,
        "definition": measure.definition,
    }


def to_markdown(found: Mapping[str, Any]) -> str:
    """Returns the comparisons as Markdown tables."""
    words = []
    for one in found["comparisons"]:
        first, second, test = one["first"], one["second"], one["mcnemar"]
        leaky = [name for name in (first, second) if name in found.get("leaky", [])]
        words += [
            f"### {second} against {first}",
            "",
            f"{one['n_samples']} samples of {one['n_cases']} {one['unit']}s; {one['interval']}, paired; "
            f"p corrected by Holm for {found['corrected_for']} differences.",
            *(["", f"**Leaky: {', '.join(leaky)} trained on cases that are scored here.**"] if leaky else []),
            "",
            f"| metric | {first} | {second} | difference | interval | p | p (Holm) | better |",
            "|---|---:|---:|---:|---:|---:|---:|---|",
        ]
        names = {"first": first, "second": second, "neither": "–"}
        words += [
            f"| {key} | {m['first']:.3f} | {m['second']:.3f} | {m['difference']:+.3f} | {m['low']:+.3f} to "
            f"{m['high']:+.3f} | {_p(m['p'])} | {_p(m['p_holm'])} | {names[m['better']]} |"
            for key, m in one["metrics"].items()
        ]
        words += [
            "",
            f"Questions that only {first} got right (but for case and white space): {test['only_first']:.0f}; only "
            f"{second}: {test['only_second']:.0f}. McNemar's exact p, which takes questions for independent: "
            f"{_p(test['p'])}.",
            "",
        ]
    return "\n".join(words)


def _p(value: float) -> str:
    return f"{value:.4f}" if value >= 0.0001 else "< 0.0001"
