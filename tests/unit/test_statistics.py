"""Intervals and comparisons against other people's code, and against all resamples written out."""

from __future__ import annotations

import itertools
import math

import numpy as np
import pytest
from scipy import stats

from suture import statistics
from suture.statistics import bootstrap, holm, mcnemar, paired_bootstrap, repeats
from suture.tasks.base import Measure, Row, mean_measure


def a_mean(by_case: list[list[float]], **more: object) -> Measure:
    rows = [
        Row(id=f"{case}-{i}", turn=0, answer="", prediction="", unit=case)
        for case, values in enumerate(by_case)
        for i in range(len(values))
    ]
    return mean_measure("m", "", rows, [value for values in by_case for value in values], len(by_case), **more)  # type: ignore[arg-type]


def test_the_interval_is_that_of_scipy() -> None:
    rng = np.random.default_rng(3)
    by_case = [[float(x) for x in rng.normal(center, 0.1, size=4)] for center in rng.normal(0.5, 0.2, size=15)]
    (ours,) = bootstrap([a_mean(by_case)], 15, resamples=20_000, seed=1)
    means = [float(np.mean(values)) for values in by_case]
    theirs = stats.bootstrap((means,), np.mean, n_resamples=20_000, method="percentile", rng=2).confidence_interval
    assert ours is not None
    assert ours.value == pytest.approx(np.mean(means))
    assert (ours.low, ours.high) == pytest.approx((theirs.low, theirs.high), abs=0.004)


def test_the_interval_of_unequal_cases_is_that_of_all_resamples() -> None:
    by_case = [[1.0, 1.0, 0.0], [0.0], [1.0, 0.0], [1.0, 1.0, 1.0, 0.0, 0.0], [0.5]]
    every = [
        np.mean([value for case in drawn for value in by_case[case]]) for drawn in itertools.product(range(5), repeat=5)
    ]
    (ours,) = bootstrap([a_mean(by_case)], 5, resamples=40_000, seed=1)
    assert ours is not None
    assert (ours.low, ours.high) == pytest.approx(np.percentile(every, [2.5, 97.5]).tolist(), abs=0.02)


def test_resamples_without_a_value_are_left_out() -> None:
    # Half of the statistic's values are NaN: the interval is that of the others.
    measure = Measure(
        key="m", definition="", n=2, units=2, statistic=lambda w: np.where(w[:, 0] > 0, w[:, 0] / 2, np.nan)
    )
    (found,) = bootstrap([measure], 2, resamples=4000, seed=0)
    assert found is not None
    assert (found.value, found.low, found.high) == (0.5, 0.5, 1.0)
    undefined = Measure(key="m", definition="", n=2, units=2, statistic=lambda w: np.full(len(w), np.nan))
    assert bootstrap([undefined], 2, resamples=100, seed=0) == [None]


def test_a_paired_difference_is_surer_than_two_intervals() -> None:
    # Cases differ much, and the second run is a little better on most of them.
    rng = np.random.default_rng(0)
    ease = rng.uniform(0, 0.8, size=20)
    first = [[float(x)] for x in ease]
    second = [[float(x)] for x in ease + rng.normal(0.1, 0.02, size=20)]
    (difference,) = paired_bootstrap([(a_mean(first), a_mean(second))], 20, resamples=4000, seed=1)
    assert difference is not None
    gains = [b[0] - a[0] for a, b in zip(first, second, strict=True)]
    theirs = stats.bootstrap((gains,), np.mean, n_resamples=4000, method="percentile", rng=2).confidence_interval
    assert difference.value == pytest.approx(np.mean(gains))
    assert (difference.low, difference.high) == pytest.approx((theirs.low, theirs.high), abs=0.003)
    assert difference.p == pytest.approx(2 / 4001)  # no resample without a gain; never 0
    alone = bootstrap([a_mean(first), a_mean(second)], 20, resamples=1000, seed=1)
    assert alone[0] is not None and alone[1] is not None
    assert alone[0].high > alone[1].low, "each interval alone holds the other's"


def test_runs_that_are_equal_do_not_differ() -> None:
    # 0.1 + 0.2 is not 0.3: what is off by rounding is no difference.
    one, other = a_mean([[0.3], [0.6], [0.9]]), a_mean([[0.1 + 0.2], [0.6], [0.9]])
    (found,) = paired_bootstrap([(one, other)], 3, resamples=500, seed=1)
    assert found is not None
    assert found.p == 1.0
    assert found.value == pytest.approx(0, abs=1e-12)


def test_two_runs_on_a_single_case_cannot_be_told_apart() -> None:
    (found,) = paired_bootstrap([(a_mean([[0.0, 0.0]]), a_mean([[1.0, 1.0]]))], 1, resamples=500, seed=1)
    assert found is not None
    assert (found.value, found.low, found.high, found.p) == (1.0, -1.0, 1.0, 1.0)


def test_the_p_value_keeps_its_promise_where_nothing_differs() -> None:
    # Two runs of equal skill on 25 cases: p is below 0.05 in about 5 % of 400 comparisons (standard error 1.1 points;
    # a percentile bootstrap of so few cases is a little too sure).
    rng = np.random.default_rng(11)
    pairs = [tuple(a_mean([[float(x)] for x in rng.uniform(0, 1, size=25)]) for _ in range(2)) for _ in range(400)]
    found = paired_bootstrap(pairs, 25, resamples=400, seed=1)  # type: ignore[arg-type]
    assert 0.02 <= np.mean([one is not None and one.p < 0.05 for one in found]) <= 0.09


@pytest.mark.parametrize(
    ("given", "corrected"),
    [
        # Worked by hand; the second is the example of R's help page of p.adjust: c(0.01, 0.02, 0.03, 0.04), "holm".
        ([0.01, 0.04, 0.03, 0.005], [0.03, 0.06, 0.06, 0.02]),
        ([0.01, 0.02, 0.03, 0.04], [0.04, 0.06, 0.06, 0.06]),
        ([0.9, 0.8], [1.0, 1.0]),
        ([0.2], [0.2]),
        ([], []),
    ],
)
def test_holm(given: list[float], corrected: list[float]) -> None:
    assert holm(given) == pytest.approx(corrected)


@pytest.mark.parametrize(("first", "second"), [(0, 0), (1, 0), (8, 2), (5, 5), (0, 12), (30, 61), (1500, 1620)])
def test_mcnemar_is_the_exact_binomial_test(first: int, second: int) -> None:
    expected = stats.binomtest(first, first + second, 0.5).pvalue if first + second else 1.0
    assert mcnemar(first, second) == pytest.approx(expected, rel=1e-9)
    assert mcnemar(first, second) == mcnemar(second, first)


def test_repeats_show_mean_spread_and_each() -> None:
    found = repeats({"seed-1": 0.5, "seed-2": 0.7, "seed-3": 0.6})
    assert (found.mean, found.low, found.high) == (pytest.approx(0.6), 0.5, 0.7)
    assert found.sd == pytest.approx(0.1)
    assert found.runs == {"seed-1": 0.5, "seed-2": 0.7, "seed-3": 0.6}
    assert repeats({"seed-1": 0.5}).sd is None


def test_blocks_of_resamples_are_the_same_draws(monkeypatch: pytest.MonkeyPatch) -> None:
    measure = a_mean([[0.1], [0.4], [0.35], [0.8], [0.2], [0.9], [0.3]])
    whole = bootstrap([measure], 7, resamples=1000, seed=4)
    monkeypatch.setattr(statistics, "_BLOCK", 7 * 90)
    assert bootstrap([measure], 7, resamples=1000, seed=4) == whole
    assert whole[0] is not None and not math.isnan(whole[0].low)
