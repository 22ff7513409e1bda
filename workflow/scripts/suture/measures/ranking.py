"""How well scores put the right rows first: area under the ROC curve, average precision.

Both follow scikit-learn's definitions (rows of equal score are one threshold),
rewritten for weights, so that a resample needs no sorting.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from suture.tasks.base import FloatArray, ratio

# Cells of a table of counts made at a time; bounds the memory.
_CELLS = 4_000_000


class Ranking:
    """Rows ranked by a score, some of them positive.

    Args:
        scores: higher is more likely positive, [rows].
        positive: which rows are, [rows].
        units: unit of each row, [rows].
        n_units: width of the weights.
    """

    def __init__(self, scores: FloatArray, positive: NDArray[np.bool_], units: NDArray[np.int64], n_units: int) -> None:
        order = np.argsort(-scores, kind="stable")
        ordered = -scores[order]
        positive, units = positive[order], units[order]
        mine = np.flatnonzero(positive)
        # The rows ranked before the ties of each positive row, and through them.
        before = np.searchsorted(ordered, ordered[mine], side="left")
        through = np.searchsorted(ordered, ordered[mine], side="right")
        self._n_units = n_units
        self._mine = units[mine]
        self._negatives = np.bincount(units[~positive], minlength=n_units).astype(np.float64)
        places = np.arange(len(units))
        self._hits = _Before(units[positive], places[positive], through)
        self._every = _Before(units, places, through)
        self._misses_before = _Before(units[~positive], places[~positive], before)
        self._misses_through = _Before(units[~positive], places[~positive], through)

    def average_precision(self, weights: FloatArray) -> FloatArray:
        """Returns the average precision of each resample, NaN without a positive row.

        AP = sum over thresholds of (recall gained) * precision, as ``sklearn.metrics.average_precision_score``.
        """
        gained = np.zeros(len(weights))
        parts = zip(self._hits.weighted(weights), self._every.weighted(weights), strict=True)
        for (part, hits), (_, every) in parts:
            precision = np.divide(hits, every, out=np.zeros_like(hits), where=every > 0)
            gained += (weights[:, self._mine[part]] * precision).sum(axis=1)
        return ratio(gained, self._positives(weights))

    def auroc(self, weights: FloatArray) -> FloatArray:
        """Returns the area under the ROC curve of each resample, NaN without a positive or a negative row.

        The share of pairs in the right order, ties counted half (Mann-Whitney U), as ``sklearn.metrics.roc_auc_score``.
        """
        negatives = weights @ self._negatives
        right = np.zeros(len(weights))
        parts = zip(self._misses_before.weighted(weights), self._misses_through.weighted(weights), strict=True)
        for (part, above), (_, through) in parts:
            below = negatives[:, None] - (above + through) / 2
            right += (weights[:, self._mine[part]] * below).sum(axis=1)
        return ratio(right, self._positives(weights) * negatives)

    def _positives(self, weights: FloatArray) -> FloatArray:
        drawn: FloatArray = weights @ np.bincount(self._mine, minlength=self._n_units).astype(np.float64)
        return drawn


class _Before:
    """Counts the rows at places before each of ``ends``, which ascend."""

    def __init__(self, units: NDArray[np.int64], places: NDArray[np.int64], ends: NDArray[np.int64]) -> None:
        self._units = units
        # The first of the ends that counts a row.
        self._first = np.searchsorted(ends, places, side="right")
        self._n_ends = len(ends)

    def weighted(self, weights: FloatArray) -> Iterator[tuple[slice, FloatArray]]:
        """Yields the weight of those rows, [resamples, ends], in parts, with the ends that each part is."""
        n_units = weights.shape[1]
        size = max(1, _CELLS // max(n_units, len(weights)))
        so_far = np.zeros((n_units, 1), dtype=np.float32)
        # Whole numbers, exact in single precision up to 16 million rows.
        drawn = weights.astype(np.float32)
        for start in range(0, self._n_ends, size):
            end = min(start + size, self._n_ends)
            low, high = np.searchsorted(self._first, [start, end])
            cells = self._units[low:high] * (end - start) + self._first[low:high] - start
            counts = np.bincount(cells, minlength=n_units * (end - start)).reshape(n_units, -1)
            counted = so_far + np.cumsum(counts, axis=1, dtype=np.float32)
            so_far = counted[:, -1:]
            yield slice(start, end), (drawn @ counted).astype(np.float64)
