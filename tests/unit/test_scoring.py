"""Intervals, baselines and the open questions' measures, against numbers worked out by hand or by others."""

from __future__ import annotations

import dataclasses
import math
from pathlib import Path

import numpy as np
import pytest
from scipy.stats import binomtest

from suture import baselines, predicted, scoring, statistics
from suture.errors import InputError
from suture.records import Sample, Turn
from suture.tasks import open_vqa
from suture.tasks.base import Row


def row(i: int, case: str, right: bool, **more: str) -> Row:
    return Row(id=f"s{i}", turn=0, answer="yes", prediction="yes" if right else "no", case=case, **more)


def scored(rows: list[Row], **more: object) -> dict:
    return scoring.entry(
        open_vqa, scoring.number_units(rows), split="test", leaky=False, **{"baselines": {}, "not_computed": {}, **more}
    )


def acc(rows: list[Row]) -> tuple[float, float, float]:
    found = scored(rows)["metrics"]["acc"]
    return found["value"], found["low"], found["high"]


def test_the_interval_resamples_cases_not_rows() -> None:
    # 12 cases of 20 equal rows, half of them right: the number of right cases in a resample is
    # Binomial(12, 1/2), whose 2.5 % and 97.5 % points are 3 and 9 (P(X <= 2) = .0193, P(X <= 3) = .0730).
    rows = [row(20 * c + i, f"case_{c}", c < 6) for c in range(12) for i in range(20)]
    assert acc(rows) == (0.5, 0.25, 0.75)


def test_unequal_cases_weigh_as_their_rows() -> None:
    # Case a: 3 of 3 right, case b: 0 of 1. Resamples: aa 1, ab and ba 3/4, bb 0, a quarter of the draws each.
    rows = [row(0, "a", True), row(1, "a", True), row(2, "a", True), row(3, "b", False)]
    assert acc(rows) == (0.75, 0.0, 1.0)
    weights = np.array([[2.0, 0.0], [1.0, 1.0], [0.0, 2.0]])
    units = scoring.number_units(rows)
    assert open_vqa.measures(units.rows, units.count)[0].statistic(weights).tolist() == [1.0, 0.75, 0.0]


def test_where_every_case_is_right_the_interval_is_the_exact_binomial_one() -> None:
    value, low, high = acc([row(i, f"case_{i % 12}", True) for i in range(48)])
    exact = binomtest(12, 12).proportion_ci(0.95, method="exact")
    assert (value, high) == (1.0, 1.0)
    assert low == pytest.approx(exact.low, abs=1e-9)
    value, low, high = acc([row(i, f"case_{i % 7}", False) for i in range(21)])
    assert (value, low) == (0.0, 0.0)
    assert high == pytest.approx(binomtest(0, 7).proportion_ci(0.95, method="exact").high, abs=1e-9)


def test_one_case_has_no_interval_and_says_so() -> None:
    entry = scored([row(0, "a", True), row(1, "a", True), row(2, "a", False)])
    assert entry["metrics"]["acc"]["value"] == pytest.approx(2 / 3)
    assert (entry["metrics"]["acc"]["low"], entry["metrics"]["acc"]["high"]) == (0.0, 1.0)
    assert "one case" in entry["not_computed"]["interval:acc"]


def test_the_mean_interval_covers_the_truth_about_as_often_as_it_says() -> None:
    # 30 cases of 10 rows, each case with its own accuracy around 0.6: in 200 repetitions a 95 % interval
    # must cover 0.6 about 190 times. One over rows would do so about 157 times (design effect 2.5).
    rng = np.random.default_rng(5)
    covered = 0
    for _ in range(200):
        ease = rng.beta(3, 2, size=30)
        rows = [row(10 * c + i, f"c{c:02d}", bool(rng.random() < ease[c])) for c in range(30) for i in range(10)]
        units = scoring.number_units(rows)
        found = statistics.bootstrap(open_vqa.measures(units.rows, units.count)[:1], units.count, resamples=200, seed=1)
        covered += found[0].low <= 0.6 <= found[0].high
    assert 178 <= covered <= 199


def test_a_block_of_weights_draws_every_unit_equally() -> None:
    weights = statistics.draw_weights(5, 4000, np.random.default_rng(0))
    assert (weights.sum(axis=1) == 5).all()
    assert weights.mean(axis=0) == pytest.approx(np.ones(5), abs=0.06)


def test_blocks_are_joined_in_full(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(statistics, "_BLOCK", 12 * 64)
    rows = [row(20 * c + i, f"case_{c}", c < 6) for c in range(12) for i in range(2)]
    value, low, high = acc(rows)
    assert (value, low, high) == (0.5, 0.25, 0.75)


@pytest.mark.parametrize(
    ("prediction", "exact", "normalised"),
    [
        ("The phase is Incision.", 1.0, 1.0),
        ("the  phase is\tINCISION. ", 0.0, 1.0),
        ("The phase is Incision", 0.0, 0.0),
        ("", 0.0, 0.0),
    ],
)
def test_exact_and_normalised(prediction: str, exact: float, normalised: float) -> None:
    rows = [Row(id="a", turn=0, case="1", answer="The phase is Incision.", prediction=prediction)]
    metrics = scored(rows)["metrics"]
    assert (metrics["acc"]["value"], metrics["acc_normalised"]["value"]) == (exact, normalised)


def test_two_unicode_forms_of_one_answer_are_equal_once_normalised() -> None:
    assert open_vqa.normalise("Fu\u0308hrung") == open_vqa.normalise("F\u00fchrung")
    assert open_vqa.normalise("\u00a0a\u2003b") == "a b"


def test_accuracy_by_kind_and_by_phase() -> None:
    rows = [
        row(0, "a", True, kind="phase", phase="Incision"),
        row(1, "b", False, kind="phase", phase="Incision"),
        row(2, "a", False, kind="anatomy", phase="Polishing"),
        row(3, "b", False, kind="anatomy", phase="Incision"),
    ]
    entry = scored(rows)
    accuracies = {key: (m["value"], m["n"]) for key, m in entry["metrics"].items() if key.startswith("acc")}
    assert accuracies == {
        "acc": (0.25, 4),
        "acc_normalised": (0.25, 4),
        "acc@phase": (0.5, 2),
        "acc_normalised@phase": (0.5, 2),
        "acc@anatomy": (0.0, 2),
        "acc_normalised@anatomy": (0.0, 2),
    }
    # Among the questions of one kind, acc@KIND is acc once more: it is left out.
    assert "acc@phase" not in entry["by"]["kind"]["phase"]
    assert entry["by"]["kind"]["phase"]["acc"]["value"] == 0.5
    incision = entry["by"]["phase"]["Incision"]
    assert (incision["acc"]["value"], incision["acc"]["n"]) == (pytest.approx(1 / 3), 3)
    assert incision["acc@phase"]["value"] == 0.5
    assert (entry["n_samples"], entry["n_cases"], entry["unit"]) == (4, 2, "case")


def test_rows_without_a_case_are_units_by_id() -> None:
    rows = [Row(id=name, turn=t, answer="y", prediction="y") for name in "abc" for t in range(2)]
    units = scoring.number_units(rows)
    assert (units.unit, units.n_cases, units.count) == ("clip", 3, 3)
    assert [one.unit for one in units.rows] == [0, 0, 1, 1, 2, 2]
    assert "for want of case ids" in scored(rows)["metrics"]["acc"]["definition"]


def test_groups_are_resampled_in_place_of_cases(tmp_path: Path) -> None:
    # 24 cases of 12 patients, half of the patients all right: the numbers of the 12-case test above.
    file = tmp_path / "groups.csv"
    file.write_bytes(("\ufeffCase,Group\r\n" + "".join(f"c{c},p{c // 2}\r\n" for c in range(24))).encode())
    rows = [row(c, f"c{c}", c < 12) for c in range(24)]
    units = scoring.number_units(rows, predicted.read_groups(file))
    entry = scoring.entry(open_vqa, units, split="test", leaky=False, baselines={}, not_computed={})
    assert (entry["metrics"]["acc"]["low"], entry["metrics"]["acc"]["high"]) == (0.25, 0.75)
    assert entry["n_cases"] == 24
    with pytest.raises(InputError, match="1 cases are in no group, first: 'x'"):
        scoring.number_units([*rows, row(99, "x", True)], predicted.read_groups(file))


def test_a_case_in_two_groups_is_refused(tmp_path: Path) -> None:
    file = tmp_path / "groups.csv"
    file.write_text("case,group\na,1\na,2\n")
    with pytest.raises(InputError, match="two groups"):
        predicted.read_groups(file)


def samples(*turns: tuple[str, str, str]) -> list[Sample]:
    return [
        Sample(id=str(i), case="t", clip="t", phase="p", turns=(Turn(question=q, answer=a, kind=k),))
        for i, (q, a, k) in enumerate(turns)
    ]


def test_the_majority_answer_is_that_of_the_question_then_of_the_kind_then_of_all() -> None:
    train = samples(
        ("which phase?", "b", "phase"),
        ("which phase?", "b", "phase"),
        ("which phase?", "a", "phase"),
        ("what tool?", "y", "tools"),
        ("what tool?", "x", "tools"),
        ("name the phase", "c", "phase"),
        ("name the phase", "c", "phase"),
        ("name the phase", "c", "phase"),
    )
    asked = [
        ("which phase?", "phase"),
        ("what tool?", "tools"),
        ("what now?", "tools"),
        ("new", "new"),
        ("p?", "phase"),
    ]
    rows = [Row(id=q, turn=0, answer="", prediction="", question=q, kind=k) for q, k in asked]
    # tools: x and y once each, the tie goes to x; phase: 3 c against 2 b and 1 a; of all: c.
    answered, unseen = baselines.majority(rows, train)
    assert ([one.prediction for one in answered], unseen) == (["b", "x", "x", "c", "c"], 3)


def test_a_baseline_is_scored_by_the_same_measures_on_the_same_resamples() -> None:
    rows = [row(20 * c + i, f"case_{c}", c < 6, kind="phase") for c in range(12) for i in range(20)]
    units = scoring.number_units(rows)
    entry = scored(rows, baselines={"majority": units.rows})
    for key, found in entry["baselines"]["majority"].items():
        assert found == {end: entry["metrics"][key][end] for end in ("value", "low", "high")}


def test_an_empty_gold_answer_is_refused() -> None:
    with pytest.raises(InputError, match="gold answer is empty"):
        scored([Row(id="a", turn=0, answer=" ", prediction="")])


def test_no_number_is_nan_or_infinite() -> None:
    entry = scored([row(i, f"case_{i}", i == 0, kind=f"k{i}", phase=f"p{i}") for i in range(5)])
    numbers = [m[end] for m in entry["metrics"].values() for end in ("value", "low", "high")]
    assert all(math.isfinite(number) for number in numbers)


def test_groups_are_read_as_spreadsheets_write_them(tmp_path: Path) -> None:
    file = tmp_path / "groups.csv"
    file.write_bytes(b"\xef\xbb\xbfsep=;\r\nGroup;Case\r\nA;c1\r\n;c2\r\n")
    with pytest.raises(InputError, match="an empty case or group") as caught:
        predicted.read_groups(file)
    assert caught.value.where == f"{file}:4"
    file.write_text("Group;Case\nA;c1\nA;c2\n")
    assert predicted.read_groups(file) == {"c1": "A", "c2": "A"}


def test_the_majority_is_that_of_the_samples_before_balancing() -> None:
    train = [
        Sample(id=name, case="t", clip="t", phase=phase, turns=(Turn(question="?", answer=phase, kind="k"),))
        for name, phase in (
            ("x", "a rare one"),
            ("y", "common"),
            ("z", "common"),
            ("z#1", "common"),
            ("step #2", "common"),
        )
    ]
    train += [dataclasses.replace(train[0], id=f"x#{n}") for n in range(2, 9)]
    rows = [Row(id="a", turn=0, answer="", prediction="", question="?", kind="k")]
    assert baselines.majority(rows, train)[0][0].prediction == "common"
    # Not every "#" is of a repeat: nothing else has these questions and this name.
    odd = [train[0], dataclasses.replace(train[1], id="x#2"), dataclasses.replace(train[1], id="w#2")]
    assert baselines.majority(rows, odd)[0][0].prediction == "common"
