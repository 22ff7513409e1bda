"""What a task offers: what an answer is and how it is scored.

A task is a module with the names of :class:`Task`. It turns rows into
measures; intervals, baselines and breakdowns are made by
:mod:`suture.scoring`, the same way for every task.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

FloatArray = NDArray[np.float64]

Statistic = Callable[[FloatArray], FloatArray]
"""Maps weights of the units, [resamples, units], to one value for each resample.

A weight is how often a unit (a case) was drawn: all ones is the data as they
are. NaN where a resample holds no row of the measure.
"""


@dataclass(frozen=True, kw_only=True)
class Row:
    """One question with its gold answer and the model's.

    ``unit`` is the number of the row's resampling unit: its column in the
    weights that a statistic receives. ``case``, ``kind`` and ``phase`` are
    empty where the predictions do not say.
    """

    id: str
    turn: int
    answer: str
    prediction: str
    case: str = ""
    kind: str = ""
    phase: str = ""
    question: str = ""
    scores: dict[str, float] = field(default_factory=dict)
    unit: int = 0


@dataclass(frozen=True, kw_only=True)
class Measure:
    """One number to be computed: its key in metrics.json, what it means, and how.

    ``n`` rows from ``units`` units enter it; ``bounds`` are the lowest and the
    highest value that it can take.
    """

    key: str
    definition: str
    n: int
    units: int
    statistic: Statistic
    bounds: tuple[float, float] = (0.0, 1.0)


class Task(Protocol):
    """A module in ``suture/tasks``."""

    PIPELINE_TAG: str
    """The hub's word for such models. A literal: it is read without an import."""

    def check(self, rows: Sequence[Row]) -> None:
        """Refuses rows that this task cannot score.

        Raises:
            InputError: naming the first of them.
        """
        ...

    def measures(self, rows: Sequence[Row], n_units: int) -> list[Measure]:
        """Gives the measures of these rows; ``n_units`` is the width of the weights.

        It is called with all rows, with the rows of one phase or kind, and
        with the predictions of a baseline in place of the model's.
        """
        ...


def mean_measure(key: str, definition: str, rows: Sequence[Row], scores: Sequence[float], n_units: int) -> Measure:
    """Makes the measure that is the mean of one score a row, each row weighted as its unit."""
    units = np.array([row.unit for row in rows], dtype=np.int64)
    sums = np.bincount(units, weights=np.array(scores, dtype=np.float64), minlength=n_units)
    counts = np.bincount(units, minlength=n_units).astype(np.float64)

    def statistic(weights: FloatArray) -> FloatArray:
        drawn = weights @ counts
        total = weights @ sums
        with np.errstate(invalid="ignore"):
            mean: FloatArray = total / drawn  # 0 / 0 is NaN: no row was drawn
        return mean

    return Measure(key=key, definition=definition, n=len(rows), units=int((counts > 0).sum()), statistic=statistic)
