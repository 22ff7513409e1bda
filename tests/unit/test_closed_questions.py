"""Closed questions against the official values of SSG-VQA and against scikit-learn."""

from __future__ import annotations

import json

import numpy as np
import pytest
from sklearn import metrics as sk

from support import SHARED
from suture import scoring
from suture.errors import InputError
from suture.tasks import closed_vqa
from suture.tasks.base import Context, Measure, Missing, Row

SSGVQA = SHARED / "ssgvqa"
needs_golden = pytest.mark.skipif(not SSGVQA.is_dir(), reason="the golden values of ../shared/data are not here")
ABC = Context(labels=("a", "b", "c"))


def entry(rows: list[Row], context: Context) -> dict:
    return scoring.entry(
        closed_vqa,
        scoring.number_units(rows),
        split="test",
        leaky=False,
        baselines={},
        not_computed={},
        context=context,
        resamples=100,
    )


def values(rows: list[Row], context: Context) -> dict[str, float]:
    return {key: one["value"] for key, one in entry(rows, context)["metrics"].items()}


@needs_golden
@pytest.mark.parametrize("name", ["A_30_of_51_present", "C_perfect_5_classes"])
def test_the_values_of_the_official_code_and_of_the_published_fine_tune(name: str) -> None:
    golden = json.loads((SSGVQA / "metric_golden.json").read_text())[name]
    labels = tuple(json.loads((SSGVQA / "labels.json").read_text()))
    rows = [
        Row(id=str(i), turn=0, case=f"VID{i % 5:02d}", answer=labels[true], prediction=labels[said])
        for i, (true, said) in enumerate(zip(golden["y_true"], golden["y_pred"], strict=True))
    ]
    found = values(rows, Context(labels=labels))
    official, published = golden["official_CAMMA_eval_for_f1_et_all"], golden["seed_compute_metrics_51"]
    expected = {
        "acc": official["acc"],
        "wF1": official["wf1"],
        "mAP@official": official["mAP"],
        "mAR@official": official["mAR"],
        "mAF1@official": official["mAf1"],
        "mAP@published": published["mAP"],
        "mAR@published": published["mAR"],
        "mAF1@published": published["mAF1"],
    }
    assert found.keys() == expected.keys()
    for key, value in expected.items():
        assert found[key] == pytest.approx(value, abs=1e-9), key
    assert (published["acc"], published["wF1"]) == pytest.approx((found["acc"], found["wF1"]), abs=1e-9)


def scored_rows(n: int = 240, *, log: bool) -> tuple[list[Row], np.ndarray, np.ndarray]:
    """Rows of three labels with scores, the gold labels and the probabilities; some probabilities are tied.

    Args:
        n: number of rows.
        log: scores are log-probabilities but for a shift, without ties: those would be a matter of rounding.
    """
    rng = np.random.default_rng(5)
    gold = rng.integers(3, size=n)
    logits = rng.normal(size=(n, 3)) + 1.5 * np.eye(3)[gold]
    logits = logits if log else np.round(logits, 1)
    chances = np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)
    given = logits if log else chances
    rows = [
        Row(
            id=str(i), turn=0, case=f"c{i % 12}", kind=["exist", "count"][i % 2],
            answer="abc"[gold[i]], prediction="abc"[int(logits[i].argmax())],
            scores={"abc"[c]: float(given[i, c]) for c in range(3)},
        )
        for i in range(n)
    ]  # fmt: skip
    return rows, gold, chances


@pytest.mark.parametrize("log", [True, False])
def test_average_precision_is_that_of_scikit_learn(log: bool) -> None:
    rows, gold, chances = scored_rows(log=log)
    expected = np.mean([sk.average_precision_score(gold == c, chances[:, c]) for c in range(3)])
    assert values(rows, ABC)["ap_macro"] == pytest.approx(expected, abs=1e-9)


@pytest.mark.parametrize("log", [True, False])
def test_calibration_is_the_weighted_distance_of_confidence_and_accuracy(log: bool) -> None:
    rows, gold, chances = scored_rows(log=log)
    confidence, right = chances.max(axis=1), chances.argmax(axis=1) == gold
    expected = 0.0
    for low in np.arange(10) / 10:  # (low, low + 0.1]
        inside = (confidence > low) & (confidence <= low + 0.1)
        if inside.any():
            expected += inside.mean() * abs(confidence[inside].mean() - right[inside].mean())
    found = entry(rows, ABC)
    assert found["metrics"]["ece"]["value"] == pytest.approx(expected, abs=1e-9)
    bins = found["tables"]["calibration"]
    assert sum(one["n"] for one in bins) == len(rows)
    assert all(one["low"] < one["confidence"] <= one["high"] for one in bins)
    recomputed = sum(one["n"] * abs(one["confidence"] - one["accuracy"]) for one in bins) / len(rows)
    assert recomputed == pytest.approx(expected, abs=1e-9)


def test_by_question_type_and_the_confusion_matrix() -> None:
    rows, gold, chances = scored_rows(log=True)
    found = entry(rows, ABC)
    said = chances.argmax(axis=1)
    for kind, start in (("exist", 0), ("count", 1)):
        mine = slice(start, None, 2)
        assert found["metrics"][f"acc@{kind}"]["value"] == pytest.approx(sk.accuracy_score(gold[mine], said[mine]))
        by = found["by"]["kind"][kind]
        assert by["mAR@official"]["value"] == pytest.approx(sk.recall_score(gold[mine], said[mine], average="macro"))
    table = found["tables"]["confusion"]
    assert (table["gold"], table["predicted"]) == (["a", "b", "c"], ["a", "b", "c"])
    assert table["counts"] == sk.confusion_matrix(gold, said).tolist()


def test_an_answer_that_is_no_label_is_wrong_and_has_a_column_of_its_own() -> None:
    rows = [
        Row(id="1", turn=0, answer="a", prediction=" A "),
        Row(id="2", turn=0, answer="b", prediction="something else"),
        Row(id="3", turn=0, answer="b", prediction="b"),
    ]
    found = entry(rows, ABC)
    assert found["metrics"]["acc"]["value"] == pytest.approx(2 / 3)
    assert found["metrics"]["mAP@official"]["value"] == pytest.approx((1 + 1) / 2)  # no label was given wrongly
    assert found["metrics"]["mAR@official"]["value"] == pytest.approx((1 + 0.5) / 2)
    table = found["tables"]["confusion"]
    assert table == {"gold": ["a", "b"], "predicted": ["a", "b", "(none of them)"], "counts": [[1, 0, 0], [0, 1, 1]]}


def test_labels_that_differ_in_case_alone_are_told_apart() -> None:
    labels = ["IV", "iv", "x"]
    assert closed_vqa.classes_of(["IV", "iv", "Iv", "X"], labels) == [0, 1, -1, 2]


def test_what_needs_scores_or_labels_is_listed_as_missing_never_as_zero() -> None:
    rows = [Row(id=str(i), turn=0, case=str(i), answer="ab"[i % 2], prediction="a") for i in range(4)]
    found = entry(rows, Context())
    assert found["not_computed"].keys() == {"mAP@published", "mAR@published", "mAF1@published", "ap_macro", "ece"}
    assert "--labels" in found["not_computed"]["mAP@published"]
    assert "4 of 4 predictions have no scores" in found["not_computed"]["ece"]
    one = closed_vqa.measures(rows, 4, ABC)
    assert {m.key for m in one if isinstance(m, Missing)} == {"ap_macro", "ece"}
    assert all(isinstance(m, Measure | Missing) for m in one)


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"answer": "cc"}, "the gold answer 'cc' is not a label"),
        ({"scores": {"a": 0.5, "b": 0.5}}, "the scores are of other choices than the labels, first: 'c'"),
        ({"scores": {"a": 0.5, "b": 0.2, "c": 0.2, "d": 0.1}}, "first: 'd'"),
    ],
)
def test_rows_that_cannot_be_scored_are_named(changes: dict, said: str) -> None:
    rows = [Row(**{"id": "7", "turn": 1, "answer": "a", "prediction": "a", **changes})]
    with pytest.raises(InputError, match=said) as caught:
        entry(rows, ABC)
    assert caught.value.where == "id '7', turn 1"
