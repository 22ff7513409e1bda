"""How sure a number is: bootstrap over cases, comparisons of two runs, repeats.

What is resampled is a unit (a case, or a group of cases), never a row: a
measure is a function of how often each unit was drawn, so that a resample
costs sums over units and no pass over rows.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from suture.progress import progress
from suture.tasks.base import FloatArray, Measure

LEVEL = 0.95

# Weights drawn at a time; bounds the memory for files with very many cases.
_BLOCK = 4_000_000


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


def _blocks(n_units: int, resamples: int, seed: int) -> Iterator[tuple[slice, FloatArray]]:
    """Yields the weights of all resamples in parts, with the resamples that each part is."""
    size = max(1, _BLOCK // n_units)
    starts = range(0, resamples, size)
    rng = np.random.default_rng(seed)
    for start in progress(starts, what="resampling", unit="block") if len(starts) > 1 else starts:
        end = min(start + size, resamples)
        yield slice(start, end), draw_weights(n_units, end - start, rng)


def bootstrap(measures: Sequence[Measure], n_units: int, *, resamples: int, seed: int) -> list[Estimate | None]:
    """Estimates each measure with its 95 % percentile interval, resampling units with replacement.

    All measures see the same resamples. A measure whose rows come from one
    unit has no interval: its bounds are given, which claim nothing. Resamples
    in which a measure has no value are left out of its interval. None where a
    measure has no value.

    Source: Efron & Tibshirani, An Introduction to the Bootstrap, ch. 13
    (percentile interval); units as in Davison & Hinkley, sec. 3.8 (clusters).
    """
    points = _points(measures, n_units)
    values = np.empty((len(measures), resamples))
    for block, weights in _blocks(n_units, resamples, seed):
        for i, measure in enumerate(measures):
            values[i, block] = measure.statistic(weights)
    found: list[Estimate | None] = []
    for measure, point, drawn in zip(measures, points, values, strict=True):
        if math.isnan(point):
            found.append(None)
        elif measure.units < 2:
            found.append(Estimate(value=point, low=measure.bounds[0], high=measure.bounds[1]))
        else:
            found.append(_widen(Estimate(value=point, **_ends(drawn)), measure))
    return found


def _points(measures: Sequence[Measure], n_units: int) -> list[float]:
    ones = np.ones((1, n_units))
    return [float(measure.statistic(ones)[0]) for measure in measures]


def _ends(drawn: FloatArray) -> dict[str, float]:
    low, high = np.nanpercentile(drawn, [50 * (1 - LEVEL), 50 * (1 + LEVEL)])
    return {"low": float(low), "high": float(high)}


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


@dataclass(frozen=True, kw_only=True)
class Difference:
    """How much higher the second of two measures is: with interval and two-sided p, not yet corrected."""

    first: float
    second: float
    value: float
    low: float
    high: float
    p: float


def paired_bootstrap(
    pairs: Sequence[tuple[Measure, Measure]], n_units: int, *, resamples: int, seed: int
) -> list[Difference | None]:
    """Compares two measures of the same rows, resampling units with replacement: both see the same draw.

    p is twice the smaller share of resamples in which the difference is not
    above, or not below, 0; one is added to count and resamples, so that no p is
    0. It is 1 where the rows come from one unit, since nothing can be
    resampled. None where one of the two has no value.

    Source: Efron & Tibshirani, ch. 15.4 and 16 (intervals inverted); Davison & Hinkley, sec. 4.
    """
    points = _points([measure for pair in pairs for measure in pair], n_units)
    values = np.empty((len(pairs), resamples))
    for block, weights in _blocks(n_units, resamples, seed):
        for i, (first, second) in enumerate(pairs):
            values[i, block] = second.statistic(weights) - first.statistic(weights)
    found: list[Difference | None] = []
    for i, ((measure, _), drawn) in enumerate(zip(pairs, values, strict=True)):
        one, other = points[2 * i], points[2 * i + 1]
        if math.isnan(one) or math.isnan(other):
            found.append(None)
            continue
        span = measure.bounds[1] - measure.bounds[0]
        ends, p = {"low": -span, "high": span}, 1.0
        if measure.units > 1:
            drawn = drawn[~np.isnan(drawn)]
            ends, p = _ends(drawn), _two_sided(drawn)
        found.append(Difference(first=one, second=other, value=other - one, p=p, **ends))
    return found


def _two_sided(drawn: FloatArray) -> float:
    # Equal runs differ by rounding alone: that is no difference.
    tail = min(int((drawn <= 1e-12).sum()), int((drawn >= -1e-12).sum()))
    return min(1.0, 2 * (tail + 1) / (len(drawn) + 1))


def holm(p_values: Sequence[float]) -> list[float]:
    """Corrects p values for their number.

    Source: Holm (1979), Scandinavian Journal of Statistics 6(2).
    """
    order = sorted(range(len(p_values)), key=lambda i: p_values[i])
    corrected = [1.0] * len(p_values)
    highest = 0.0
    for rank, i in enumerate(order):
        highest = max(highest, min(1.0, (len(p_values) - rank) * p_values[i]))
        corrected[i] = highest
    return corrected


def mcnemar(only_first: int, only_second: int) -> float:
    """Returns the exact two-sided p of McNemar's test: rows that only one of the two got right.

    Source: McNemar (1947), Psychometrika 12(2); exact by the binomial with p = 1/2.
    """
    n, fewer = only_first + only_second, min(only_first, only_second)
    k = np.arange(1, fewer + 1)
    # log of (n over k) for k = 0 to fewer; the numbers themselves are beyond floats.
    logs = np.concatenate([[0.0], np.cumsum(np.log(n - k + 1) - np.log(k))])
    return min(1.0, 2 * float(np.exp(logs - n * math.log(2)).sum()))


@dataclass(frozen=True, kw_only=True)
class Repeats:
    """One number over several seeds or folds: its mean, its spread, and each run's."""

    mean: float
    sd: float | None
    low: float
    high: float
    runs: dict[str, float]


def repeats(runs: Mapping[str, float]) -> Repeats:
    """Sums up repeats: mean, standard deviation (n - 1; None of a single run), lowest and highest.

    The spread over seeds and folds is no interval for new cases: that is each run's own.
    """
    values = list(runs.values())
    sd = float(np.std(values, ddof=1)) if len(values) > 1 else None
    return Repeats(mean=float(np.mean(values)), sd=sd, low=min(values), high=max(values), runs=dict(runs))
