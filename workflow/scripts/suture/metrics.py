"""The layout of metrics.json: what is checked before others build on it.

One experiment's entry::

    {"split", "unit": "case|clip", "leaky", "n_samples", "n_cases",
     "metrics": {key: {"value", "low", "high", "n", "definition"}},
     "baselines": {name: {key: {"value", "low", "high"}}},
     "by": {axis: {name: {key: {"value", "low", "high", "n"}}}},
     "not_computed": {key: reason}}

An experiment repeated over seeds or folds is, beside its runs' entries::

    "repeats": {name: {"runs": [name], "metrics": {key: {"mean", "sd", "low", "high", "runs": {name: value}}}}}

``sd`` is absent where there is one run; ``low`` and ``high`` are the lowest and
the highest run, no interval.
"""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

from suture import files
from suture.errors import InputError

SCHEMA = 1

_PARTS: dict[str, type] = {
    "split": str,
    "unit": str,
    "leaky": bool,
    "n_samples": int,
    "n_cases": int,
    "metrics": dict,
    "baselines": dict,
    "by": dict,
    "not_computed": dict,
}


def check_entry(entry: Any, *, where: object) -> dict[str, Any]:
    """Returns one experiment's entry if it has the layout of metrics.json.

    Raises:
        InputError: a part is missing or of the wrong type, or a value, low or
            high is not a finite number.
    """
    fix = "score the predictions again with score.py"
    if not isinstance(entry, dict):
        raise InputError("not an experiment's entry", where=where, fix=fix)
    for part, kind in _PARTS.items():
        if not isinstance(entry.get(part), kind):
            raise InputError(f"{part!r} is missing or not of type {kind.__name__}", where=where, fix=fix)
    for key, estimate in entry["metrics"].items():
        _check_estimate(key, estimate, where)
    for name, estimates in entry["baselines"].items():
        for key, estimate in estimates.items():
            _check_estimate(f"{name}: {key}", estimate, where)
    return entry


def _check_estimate(key: str, estimate: Any, where: object) -> None:
    for end in ("value", "low", "high"):
        number = estimate.get(end) if isinstance(estimate, dict) else None
        if not isinstance(number, int | float) or not math.isfinite(number):
            raise InputError(
                f"{end} of {key!r} is {number!r}, not a number", where=where, fix="what has none goes to not_computed"
            )


def read_metrics(path: Path) -> dict[str, Any]:
    """Reads metrics.json.

    Raises:
        InputError: it is of another schema, or an entry has not the layout.
    """
    metrics = files.read_json(path)
    if not isinstance(metrics, dict) or metrics.get("schema") != SCHEMA:
        raise InputError(
            f"not a metrics.json of schema {SCHEMA}", where=path, fix="make it again with merge_metrics.py"
        )
    for name, entry in metrics.get("experiments", {}).items():
        check_entry(entry, where=f"{path}, experiment {name}")
    return metrics
