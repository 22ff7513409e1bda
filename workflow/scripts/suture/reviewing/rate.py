"""How many of the reviewed answers were wrong: review.json."""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from suture import files
from suture.errors import InputError
from suture.records import Sample, Turn
from suture.reviewing.corrections import Correction, reads_otherwise, turn_of

SCHEMA = 1
_Z = 1.959963984540054
"""The standard normal distribution's 97.5th percentile."""


def wilson(wrong: int, n: int) -> tuple[float, float]:
    """Returns the 95 % score interval of a share.

    Source: Wilson (1927), JASA 22(158).
    """
    if not n:
        return 0.0, 1.0
    share = wrong / n
    middle = (share + _Z**2 / (2 * n)) / (1 + _Z**2 / n)
    half = _Z / (1 + _Z**2 / n) * math.sqrt(share * (1 - share) / n + _Z**2 / (4 * n**2))
    # At the bounds the formula gives them but for rounding.
    return (0.0 if not wrong else middle - half), (1.0 if wrong == n else middle + half)


def summary(found: Sequence[Correction], samples: Iterable[Sample]) -> dict[str, Any]:
    """Returns what review.json holds: counts, and the share of wrong answers by kind of question and in all.

    Wrong is what was rejected, or fixed to another text. Each turn counts once,
    whoever reviewed it. Verdicts on words that no longer stand there are
    counted as ``outdated`` and enter no share.

    Raises:
        InputError: a verdict is about nothing in these samples.
    """
    known = {sample.id: sample for sample in samples}
    counts = {"accepted": 0, "fixed": 0, "rejected": 0, "outdated": 0}
    by_kind: dict[str, list[bool]] = defaultdict(list)
    for one in {one.place: one for one in found}.values():
        turn = turn_of(one, known)
        if reads_otherwise(one, turn):
            counts["outdated"] += 1
            continue
        outcome = _outcome(one, turn)
        counts[outcome] += 1
        by_kind[turn.kind].append(outcome != "accepted")
    wrong = [one for kind in by_kind.values() for one in kind]
    return {
        "schema": SCHEMA,
        **counts,
        "reviewers": len({one.reviewer for one in found}),
        **_share(wrong),
        "by": {"kind": {kind: _share(one) for kind, one in sorted(by_kind.items())}},
    }


def _outcome(one: Correction, turn: Turn) -> str:
    if one.verdict == "reject":
        return "rejected"
    same = one.answer == turn.answer.strip() and one.question in ("", turn.question.strip())
    return "fixed" if one.verdict == "fix" and not same else "accepted"


def _share(wrong: Sequence[bool]) -> dict[str, float]:
    low, high = wilson(sum(wrong), len(wrong))
    value = sum(wrong) / len(wrong) if wrong else 0.0
    return {"n": len(wrong), "wrong": sum(wrong), "value": value, "low": low, "high": high}


@dataclass(frozen=True, kw_only=True)
class Group:
    """The reviewed answers of one kind: shares of 1."""

    name: str
    n: int
    wrong: int
    rate: float
    low: float
    high: float


@dataclass(frozen=True, kw_only=True)
class Reviewed:
    """review.json as the page shows it."""

    n: int
    wrong: int
    rate: float
    low: float
    high: float
    fixed: int
    rejected: int
    outdated: int
    reviewers: int
    groups: tuple[Group, ...]


def read(path: Path) -> Reviewed | None:
    """Reads review.json; None where no answer was judged.

    Raises:
        InputError: it has not the parts that rate_review writes.
    """
    found = files.read_json(path)
    try:
        groups = tuple(
            Group(name=name, n=one["n"], wrong=one["wrong"], rate=one["value"], low=one["low"], high=one["high"])
            for name, one in sorted(found["by"]["kind"].items())
        )
        reviewed = Reviewed(
            n=found["n"],
            wrong=found["wrong"],
            rate=found["value"],
            low=found["low"],
            high=found["high"],
            fixed=found["fixed"],
            rejected=found["rejected"],
            outdated=found["outdated"],
            reviewers=found["reviewers"],
            groups=groups,
        )
    except (KeyError, TypeError, AttributeError) as error:
        raise InputError(
            f"not a review.json: {type(error).__name__} {error}", where=path, fix="make it again with rate_review.py"
        ) from error
    return reviewed if reviewed.n else None
