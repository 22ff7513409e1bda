"""What a task offers: what an answer is and how it is scored.

A task is a module with the names of :class:`Task`. It turns rows into
measures; intervals, baselines and breakdowns are made by
:mod:`suture.scoring`, the same way for every task.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    from suture.report_scores import ReportScore

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
    weights that a statistic receives. ``case``, ``clip``, ``kind`` and
    ``phase`` are empty where the predictions do not say. ``scores``:
    log-probability (or probability) of each choice, {} where not scored.
    """

    id: str
    turn: int
    answer: str
    prediction: str
    case: str = ""
    clip: str = ""
    kind: str = ""
    phase: str = ""
    question: str = ""
    scores: dict[str, float] = field(default_factory=dict)
    unit: int = 0


class Likeness(Protocol):
    """Compares texts by meaning: BERTScore."""

    definition: str

    def f1(self, pairs: Sequence[tuple[str, str]]) -> list[float]:
        """Returns the score of each (prediction, gold) pair."""
        ...


@dataclass(frozen=True, kw_only=True)
class Context:
    """What a task may be told beside the rows; what it is not told, it lists as missing.

    ``labels``: the closed set of answers, in its official order. ``observed``:
    the answers and scored choices that occur in all rows, sorted: what stands
    for the labels where they were not given. ``positive``: the label that a
    binary classification looks for. ``objects``: canonical
    object names by kind of question, ``synonyms`` their other names,
    ``passed_over`` phrases that are none of them (see
    :mod:`suture.vocabulary`). ``report_scores``: of single reports, by pair of
    texts (see :mod:`suture.report_scores`). ``phases``: the names of all phases.
    ``published``: also compute what a publisher selected by, where a task knows of it.
    """

    labels: tuple[str, ...] = ()
    observed: tuple[str, ...] = ()
    positive: str | None = None
    objects: Mapping[str, frozenset[str]] = field(default_factory=dict)
    synonyms: Mapping[str, Sequence[str]] = field(default_factory=dict)
    passed_over: tuple[str, ...] = ()
    phases: tuple[str, ...] = ()
    published: bool = False
    bertscore: Likeness | None = None
    report_scores: Mapping[str, ReportScore] = field(default_factory=dict)


NOTHING_MORE = Context()


@dataclass(frozen=True, kw_only=True)
class Measure:
    """One number to be computed: its key in metrics.json, what it means, and how.

    ``n`` rows from ``units`` units enter it; ``bounds`` are the lowest and the
    highest value that it can take. ``undefined`` is the reason given where it
    has no value. ``classes`` names the property of rows (``phase``) whose
    values are its classes: among the rows of one of them it means nothing.
    ``lower_is_better`` is true of errors.
    """

    key: str
    definition: str
    n: int
    units: int
    statistic: Statistic
    bounds: tuple[float, float] = (0.0, 1.0)
    undefined: str = "no row from which it can be computed"
    classes: str = ""
    lower_is_better: bool = False


@dataclass(frozen=True, kw_only=True)
class Missing:
    """A number that a reader expects and that cannot be computed, with the reason."""

    key: str
    reason: str


class Task(Protocol):
    """A module in ``suture/tasks``."""

    PIPELINE_TAG: str
    """The hub's word for such models. A literal: it is read without an import."""

    def check(self, rows: Sequence[Row], context: Context = NOTHING_MORE) -> None:
        """Refuses rows that this task cannot score.

        Raises:
            InputError: naming the first of them.
        """
        ...

    def measures(
        self, rows: Sequence[Row], n_units: int, context: Context = NOTHING_MORE
    ) -> Sequence[Measure | Missing]:
        """Gives the measures of these rows; ``n_units`` is the width of the weights.

        It is called with all rows, with the rows of one phase or kind, and
        with the predictions of a baseline in place of the model's.
        """
        ...

    def tables(self, rows: Sequence[Row], context: Context = NOTHING_MORE) -> dict[str, Any]:
        """Gives what is no single number, by name: ``confusion``, ``calibration``; plain JSON values.

        ``questions``, [{kind, key, question}], names the measure of each question where each has its own: the report
        draws them beside each other.
        """
        ...


def kinds_of(row: Row) -> tuple[str, ...]:
    """Returns the groups that a row is counted in: its kind, or several joined by ``/``; () without a kind."""
    return tuple(filter(None, row.kind.split("/")))


def units_of(rows: Sequence[Row]) -> NDArray[np.int64]:
    """Returns the unit of each row, [rows]."""
    return np.array([row.unit for row in rows], dtype=np.int64)


def mean_measure(
    key: str,
    definition: str,
    rows: Sequence[Row],
    scores: Sequence[float],
    n_units: int,
    *,
    bounds: tuple[float, float] = (0.0, 1.0),
) -> Measure:
    """Makes the measure that is the mean of one score a row, each row weighted as its unit."""
    units = units_of(rows)
    sums = np.bincount(units, weights=np.array(scores, dtype=np.float64), minlength=n_units)
    counts = np.bincount(units, minlength=n_units).astype(np.float64)

    def statistic(weights: FloatArray) -> FloatArray:
        return ratio(weights @ sums, weights @ counts)

    return Measure(
        key=key, definition=definition, n=len(rows), units=int((counts > 0).sum()), statistic=statistic, bounds=bounds
    )


def ratio(above: FloatArray, below: FloatArray) -> FloatArray:
    """Divides; NaN where nothing is divided by nothing."""
    with np.errstate(invalid="ignore", divide="ignore"):
        quotient: FloatArray = above / below
    return quotient
