"""Whether a model is as often right as it is sure."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from suture.tasks.base import FloatArray, Measure, Row, ratio, units_of

BINS = 10
DEFINITION = (
    f"expected calibration error: mean distance of confidence and accuracy in {BINS} bins of equal width, "
    "weighted by rows (Guo et al. 2017); confidence is the largest probability among the choices"
)


def probabilities(rows: Sequence[Row], choices: Sequence[str]) -> FloatArray:
    """Returns each row's probabilities over the choices, [rows, choices].

    Scores are taken as probabilities where in all rows none is negative and
    they sum to 1 (to 0.001); else as log-probabilities, of which the softmax
    over the choices is taken.
    """
    scores = np.array([[row.scores[choice] for choice in choices] for row in rows], dtype=np.float64)
    if (scores >= 0).all() and (np.abs(scores.sum(axis=1) - 1) <= 1e-3).all():
        return scores
    grown = np.exp(scores - scores.max(axis=1, keepdims=True))
    shares: FloatArray = grown / grown.sum(axis=1, keepdims=True)
    return shares


def _bin(confidence: FloatArray) -> Any:
    # (0, 0.1] is the first bin.
    return np.clip(np.ceil(confidence * BINS).astype(np.int64) - 1, 0, BINS - 1)


def error(rows: Sequence[Row], confidence: FloatArray, right: Sequence[bool], n_units: int) -> Measure:
    """Makes the measure ``ece``; ``confidence`` and ``right`` are [rows]."""
    cell = units_of(rows) * BINS + _bin(confidence)
    gap = np.bincount(cell, weights=confidence - np.array(right, dtype=np.float64), minlength=n_units * BINS)
    gaps = gap.reshape(n_units, BINS)
    counts = np.bincount(units_of(rows), minlength=n_units).astype(np.float64)

    def statistic(weights: FloatArray) -> FloatArray:
        return ratio(np.abs(weights @ gaps).sum(axis=1), weights @ counts)

    units = int((counts > 0).sum())
    return Measure(
        key="ece", definition=DEFINITION, n=len(rows), units=units, statistic=statistic, lower_is_better=True
    )


def table(confidence: FloatArray, right: Sequence[bool]) -> list[dict[str, float]]:
    """Returns the bins that hold rows: their ends, rows, mean confidence and accuracy."""
    bins = _bin(confidence)
    hits = np.array(right, dtype=np.float64)
    return [
        {
            "low": number / BINS,
            "high": (number + 1) / BINS,
            "n": int((bins == number).sum()),
            "confidence": float(confidence[bins == number].mean()),
            "accuracy": float(hits[bins == number].mean()),
        }
        for number in range(BINS)
        if (bins == number).any()
    ]
