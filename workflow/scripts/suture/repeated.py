"""Experiments that were repeated over seeds or folds: their numbers together."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from typing import Any

from suture.errors import InputError
from suture.statistics import repeats


def summed_up(runs: Sequence[str], experiments: Mapping[str, Any]) -> dict[str, Any]:
    """Sums up the runs of a repeated experiment: the numbers that all of them have.

    Raises:
        InputError: a run has no entry.
    """
    absent = [run for run in runs if run not in experiments]
    if absent:
        raise InputError(f"run {absent[0]!r} of a repeated experiment has no entry", fix="score each of its runs")
    values = [{key: one["value"] for key, one in experiments[run]["metrics"].items()} for run in runs]
    shared = [key for key in values[0] if all(key in one for one in values)]
    found = {
        key: dataclasses.asdict(repeats(dict(zip(runs, (one[key] for one in values), strict=True)))) for key in shared
    }
    without_none = {key: {k: v for k, v in one.items() if v is not None} for key, one in found.items()}
    return {"runs": list(runs), "metrics": without_none}
