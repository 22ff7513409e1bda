"""Comparisons of runs: what pairs, what is corrected for, what is refused."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import stats

from suture.comparing import Contest, compare, to_markdown
from suture.errors import InputError
from suture.tasks import closed_vqa, open_vqa
from suture.tasks.base import Context, Row


def rows(right: np.ndarray, cases: int = 20, **more: object) -> list[Row]:
    return [
        Row(id=f"s{i}", turn=0, case=f"c{i % cases:02d}", kind="k", answer="y", prediction="y" if hit else "n", **more)  # type: ignore[arg-type]
        for i, hit in enumerate(right)
    ]


def contest(task: object = open_vqa, **runs: list[Row]) -> Contest:
    return Contest(task=task, context=Context(), runs=runs)  # type: ignore[arg-type]


def compared(*contests: Contest, **more: object) -> dict:
    settings = {"groups": None, "keys": None, "resamples": 1000, "seed": 1, **more}
    return compare(contests, **settings)  # type: ignore[arg-type]


RNG = np.random.default_rng(4)
WEAK = RNG.random(200) < 0.4
STRONG = WEAK | (RNG.random(200) < 0.4)
SAME = RNG.permutation(WEAK)


def test_a_better_run_is_told_from_one_that_is_not() -> None:
    found = compared(contest(weak=rows(WEAK), strong=rows(STRONG), same=rows(SAME)), keys=["acc"])
    assert found["corrected_for"] == 3
    by_pair = {(one["first"], one["second"]): one["metrics"]["acc"] for one in found["comparisons"]}
    assert by_pair.keys() == {("weak", "strong"), ("weak", "same"), ("strong", "same")}
    better = by_pair["weak", "strong"]
    assert (better["first"], better["second"]) == pytest.approx((WEAK.mean(), STRONG.mean()))
    assert better["difference"] == pytest.approx(STRONG.mean() - WEAK.mean())
    assert better["low"] > 0 and better["better"] == "second"
    assert by_pair["weak", "same"]["better"] == "neither"
    assert by_pair["strong", "same"]["better"] == "first"


def test_the_interval_is_that_of_the_differences_of_cases() -> None:
    found = compared(contest(a=rows(WEAK), b=rows(STRONG)), keys=["acc"], resamples=8000)
    gains = (STRONG.astype(float) - WEAK).reshape(10, 20).mean(axis=0)  # 10 questions of each of 20 cases
    expected = stats.bootstrap((gains,), np.mean, n_resamples=8000, method="percentile", rng=1).confidence_interval
    acc = found["comparisons"][0]["metrics"]["acc"]
    assert (acc["low"], acc["high"]) == pytest.approx((expected.low, expected.high), abs=0.01)


def test_every_difference_of_every_contest_is_corrected_for() -> None:
    one, two = contest(a=rows(WEAK), b=rows(STRONG)), contest(c=rows(WEAK), d=rows(SAME))
    alone, both = compared(one), compared(one, two)
    assert both["corrected_for"] == 2 * alone["corrected_for"]
    p = [m["p"] for c in both["comparisons"] for m in c["metrics"].values()]
    smallest = min(p)
    corrected = [m["p_holm"] for c in both["comparisons"] for m in c["metrics"].values()]
    assert min(corrected) == pytest.approx(min(1, smallest * len(p)))
    assert all(c >= q for c, q in zip(corrected, p, strict=True))


def test_rows_in_another_order_are_paired_by_question() -> None:
    straight = compared(contest(a=rows(WEAK), b=rows(STRONG)))
    assert compared(contest(a=rows(WEAK), b=rows(STRONG)[::-1])) == straight


def test_a_lower_error_is_better() -> None:
    def sure(confidence: float) -> list[Row]:
        return rows(STRONG, scores={"y": confidence, "n": 1 - confidence})

    close, far = (abs(c - float(STRONG.mean())) for c in (0.6, 0.99))
    assert close < far
    found = compared(contest(closed_vqa, over=sure(0.99), calibrated=sure(0.6)), keys=["ece"])
    ece = found["comparisons"][0]["metrics"]["ece"]
    assert ece["difference"] < 0
    assert ece["better"] == "second"


@pytest.mark.parametrize(
    ("other", "said"),
    [
        (rows(WEAK)[:-3], "3 only by a; first: id 's197', turn 0"),
        (rows(np.append(WEAK, True)), "1 only by b; first: id 's200'"),
        (
            [Row(id=r.id, turn=1, case=r.case, answer="y", prediction="y") for r in rows(WEAK)],
            "200 only by a, 200 only",
        ),
        ([Row(id=r.id, turn=0, case=r.case, answer="z", prediction="y") for r in rows(WEAK)], "different gold answers"),
    ],
)
def test_runs_that_answered_other_questions_are_refused(other: list[Row], said: str) -> None:
    with pytest.raises(InputError, match=said):
        compared(contest(a=rows(WEAK), b=other))


def test_a_number_that_is_not_there_is_named() -> None:
    with pytest.raises(InputError, match="a and b have no 'mAP@official'"):
        compared(contest(a=rows(WEAK), b=rows(STRONG)), keys=["mAP@official"])


def test_groups_are_resampled_where_they_are_given() -> None:
    groups = {f"c{c:02d}": f"p{c // 10}" for c in range(20)}
    found = compared(contest(a=rows(WEAK), b=rows(STRONG)), keys=["acc"], groups=groups)
    assert "2 groups of cases" in found["comparisons"][0]["interval"]


def test_the_table_says_what_was_compared_and_how() -> None:
    found = compared(contest(a=rows(WEAK), b=rows(STRONG)), keys=["acc", "acc@k"])
    table = to_markdown(found | {"leaky": ["b"]})
    assert "### b against a" in table
    assert "corrected by Holm for 2 differences" in table
    assert "**Leaky: b trained on cases" in table
    cells = [line.split("|") for line in table.splitlines() if line.startswith("| acc ")]
    assert len(cells) == 1 and cells[0][-2].strip() == "b"
    only_second = int((STRONG & ~WEAK).sum())
    assert f"got right (but for case and white space): 0; only b: {only_second}." in table
    expected = stats.binomtest(0, only_second).pvalue
    assert found["comparisons"][0]["mcnemar"]["p"] == pytest.approx(expected)
