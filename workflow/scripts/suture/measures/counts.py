"""Hits and misses by class, counted once for each unit: what a bootstrap needs of a confusion matrix."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from suture.tasks.base import FloatArray, Measure, Row, Statistic, ratio, units_of

NO_CLASS = "(none of them)"
"""How tables call predictions that are no class."""


class Counts:
    """Rows of classes, summed by unit.

    Args:
        rows: what was answered.
        gold: class of each row's gold answer, [rows].
        predicted: class of each row's prediction, [rows]; -1 for none of the classes.
        n_units: width of the weights.

    A class that no row has, as gold or as prediction, takes no space.
    """

    def __init__(self, rows: Sequence[Row], gold: Sequence[int], predicted: Sequence[int], n_units: int) -> None:
        units = units_of(rows)
        g, p = np.array(gold, dtype=np.int64), np.array(predicted, dtype=np.int64)
        occurring = np.unique(np.concatenate([g, p[p >= 0]]))
        g = np.searchsorted(occurring, g)
        p = np.where(p >= 0, np.searchsorted(occurring, p), -1)
        self.rows = rows
        self.classes = occurring
        self.units = len(np.unique(units))
        wide = len(occurring)

        def summed(which: NDArray[np.bool_], classes: NDArray[np.int64]) -> FloatArray:
            cells = np.bincount(units[which] * wide + classes[which], minlength=n_units * wide)
            return cells.reshape(n_units, wide).astype(np.float64)

        everything = np.ones(len(units), dtype=bool)
        # [units, 3 * classes]: hits, gold, predicted.
        self._sums = np.concatenate([summed(g == p, g), summed(everything, g), summed(p >= 0, p)], axis=1)
        self._seen: tuple[FloatArray, tuple[FloatArray, FloatArray, FloatArray]] | None = None

    def drawn(self, weights: FloatArray) -> tuple[FloatArray, FloatArray, FloatArray]:
        """Returns hits, gold and predicted, each [resamples, classes].

        All measures of a resample ask with the same array, so its answer is kept.
        """
        if self._seen is None or self._seen[0] is not weights:
            hits, gold, predicted = np.split(weights @ self._sums, 3, axis=1)
            self._seen = weights, (hits, gold, predicted)
        return self._seen[1]

    def measure(self, key: str, definition: str, statistic: Statistic, **more: Any) -> Measure:
        """Makes a measure of these rows."""
        return Measure(key=key, definition=definition, n=len(self.rows), units=self.units, statistic=statistic, **more)

    def precision(self, weights: FloatArray) -> FloatArray:
        """Returns hits / predicted by class, 0 for a class never predicted; [resamples, classes]."""
        hits, _, predicted = self.drawn(weights)
        return hits / np.maximum(predicted, 1)

    def recall(self, weights: FloatArray) -> FloatArray:
        """Returns hits / gold by class, 0 for a class without gold rows; [resamples, classes]."""
        hits, gold, _ = self.drawn(weights)
        return hits / np.maximum(gold, 1)

    def f1(self, weights: FloatArray) -> FloatArray:
        """Returns 2 hits / (gold + predicted) by class; [resamples, classes]."""
        hits, gold, predicted = self.drawn(weights)
        return 2 * hits / np.maximum(gold + predicted, 1)

    def specificity(self, weights: FloatArray) -> FloatArray:
        """Returns by class the share of the other classes' rows that were not given it, NaN without such rows."""
        hits, gold, predicted = self.drawn(weights)
        others = gold.sum(axis=1, keepdims=True) - gold
        return ratio(others - (predicted - hits), others)

    def accuracy(self, weights: FloatArray) -> FloatArray:
        """Returns the share of hits, [resamples]."""
        hits, gold, _ = self.drawn(weights)
        return ratio(hits.sum(axis=1), gold.sum(axis=1))

    def in_gold(self, weights: FloatArray) -> NDArray[np.bool_]:
        """Returns which classes a resample has gold rows of, [resamples, classes]."""
        return self.drawn(weights)[1] > 0

    def occurring(self, weights: FloatArray) -> NDArray[np.bool_]:
        """Returns which classes a resample has, as gold or as prediction, [resamples, classes]."""
        _, gold, predicted = self.drawn(weights)
        return (gold > 0) | (predicted > 0)

    def weighted_f1(self, weights: FloatArray) -> FloatArray:
        """Returns the F1 of classes averaged with their gold rows as weights, [resamples]."""
        gold = self.drawn(weights)[1]
        return ratio((self.f1(weights) * gold).sum(axis=1), gold.sum(axis=1))

    def place(self, index: int) -> int | None:
        """Returns the column of a class, None where no row has it."""
        found = np.flatnonzero(self.classes == index)
        return int(found[0]) if len(found) else None


def mean_over(values: FloatArray, which: NDArray[np.bool_]) -> FloatArray:
    """Returns the mean of each resample's values over the classes ``which``; NaN where there are none."""
    return ratio(np.where(which, values, 0.0).sum(axis=1), which.sum(axis=1).astype(np.float64))


def confusion(gold: Sequence[int], predicted: Sequence[int], labels: Sequence[str]) -> dict[str, Any]:
    """Returns the confusion matrix: gold classes down, predicted ones across, those that occur.

    A last column holds predictions that are no class, where there are any.
    """
    rows, columns = sorted(set(gold)), sorted(set(predicted) - {-1})
    columns += [-1] if -1 in predicted else []
    counts = [[0] * len(columns) for _ in rows]
    row_of, column_of = {c: i for i, c in enumerate(rows)}, {c: i for i, c in enumerate(columns)}
    for g, p in zip(gold, predicted, strict=True):
        counts[row_of[g]][column_of[p]] += 1
    return {
        "gold": [labels[c] for c in rows],
        "predicted": [labels[c] if c >= 0 else NO_CLASS for c in columns],
        "counts": counts,
    }
