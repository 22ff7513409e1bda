"""Classification against scikit-learn, on the rows as they are and on rows that a resample repeats."""

from __future__ import annotations

import numpy as np
import pytest
from sklearn import metrics as sk

from suture import scoring
from suture.errors import InputError
from suture.measures.ranking import Ranking
from suture.statistics import draw_weights
from suture.tasks import classification
from suture.tasks.base import Context, Measure, Row

TWO, FOUR = Context(labels=("benign", "polyp")), Context(labels=("a", "b", "c", "d"))


def made(context: Context, n: int = 150, seed: int = 2) -> tuple[list[Row], np.ndarray, np.ndarray, np.ndarray]:
    """Rows with ties among their scores, their gold classes, given classes and probabilities; 12 cases of unequal size.

    Args:
        context: names the classes.
        n: number of rows.
        seed: of gold classes and scores.
    """
    rng = np.random.default_rng(seed)
    k = len(context.labels)
    gold = rng.choice(k, size=n, p=np.arange(1, k + 1) / np.arange(1, k + 1).sum())
    logits = np.round(rng.normal(size=(n, k)) + np.eye(k)[gold], 1)
    chances = np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)
    said = logits.argmax(axis=1)
    cases = np.sort(rng.integers(12, size=n))
    rows = [
        Row(
            id=str(i), turn=0, case=f"c{cases[i]:02d}", answer=context.labels[gold[i]],
            prediction=context.labels[said[i]], scores=dict(zip(context.labels, map(float, chances[i]), strict=True)),
        )
        for i in range(n)
    ]  # fmt: skip
    return rows, gold, said, chances


def by_scikit_learn(gold: np.ndarray, said: np.ndarray, chances: np.ndarray) -> dict[str, float]:
    k = chances.shape[1]
    found = {
        "acc": sk.accuracy_score(gold, said),
        "f1_macro": sk.f1_score(gold, said, average="macro"),
        "f1_weighted": sk.f1_score(gold, said, average="weighted"),
    }
    if k == 2:
        return {
            **found,
            "f1": sk.f1_score(gold, said),
            "sensitivity": sk.recall_score(gold, said),
            "specificity": sk.recall_score(gold, said, pos_label=0),
            "auroc": sk.roc_auc_score(gold, chances[:, 1]),
            "auprc": sk.average_precision_score(gold, chances[:, 1]),
        }
    there = np.unique(gold)
    return {
        **found,
        "sensitivity@macro": sk.balanced_accuracy_score(gold, said),
        "specificity@macro": np.mean([sk.recall_score(gold != c, said != c) for c in there]),
        "auroc@macro_ovr": np.mean([sk.roc_auc_score(gold == c, chances[:, c]) for c in there]),
        "auprc@macro_ovr": np.mean([sk.average_precision_score(gold == c, chances[:, c]) for c in there]),
    }


@pytest.mark.parametrize("context", [TWO, FOUR], ids=["two classes", "four classes"])
def test_every_value_is_that_of_scikit_learn(context: Context) -> None:
    rows, gold, said, chances = made(context)
    entry = scoring.entry(
        classification, scoring.number_units(rows), split="test", leaky=False, baselines={}, not_computed={},
        context=context, resamples=100,
    )  # fmt: skip
    expected = by_scikit_learn(gold, said, chances)
    assert entry["metrics"].keys() == {*expected, "ece"}
    for key, value in expected.items():
        assert entry["metrics"][key]["value"] == pytest.approx(value, abs=1e-9), key
    assert entry["not_computed"] == {}


@pytest.mark.parametrize("context", [TWO, FOUR], ids=["two classes", "four classes"])
def test_a_resample_is_its_cases_rows_repeated(context: Context) -> None:
    rows, gold, said, chances = made(context)
    units = scoring.number_units(rows)
    unit = np.array([row.unit for row in units.rows])
    weights = draw_weights(units.count, 20, np.random.default_rng(1))
    measures = {m.key: m for m in classification.measures(units.rows, units.count, context) if isinstance(m, Measure)}
    drawn = {key: measure.statistic(weights) for key, measure in measures.items()}
    for resample, weight in enumerate(weights):
        places = np.repeat(np.arange(len(rows)), weight[unit].astype(int))
        for key, value in by_scikit_learn(gold[places], said[places], chances[places]).items():
            assert drawn[key][resample] == pytest.approx(value, abs=1e-9), key


def test_ranking_in_parts_is_ranking_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    _, gold, _, chances = made(TWO, n=90)
    unit = np.arange(90) % 9
    weights = draw_weights(9, 30, np.random.default_rng(1))
    whole = Ranking(chances[:, 1], gold == 1, unit, 9)
    expected = whole.auroc(weights), whole.average_precision(weights)
    monkeypatch.setattr("suture.measures.ranking._CELLS", 30 * 4)
    np.testing.assert_allclose(whole.auroc(weights), expected[0], atol=1e-12)
    np.testing.assert_allclose(whole.average_precision(weights), expected[1], atol=1e-12)


def test_the_positive_class_is_the_one_asked_for() -> None:
    rows, gold, said, chances = made(TWO)
    first = Context(labels=TWO.labels, positive="benign")
    found = {m.key: m for m in classification.measures(rows, 1, first) if isinstance(m, Measure)}
    ones = np.ones((1, 1))
    assert found["sensitivity"].statistic(ones)[0] == pytest.approx(sk.recall_score(gold, said, pos_label=0))
    assert found["auroc"].statistic(ones)[0] == pytest.approx(sk.roc_auc_score(gold == 0, chances[:, 0]))
    with pytest.raises(InputError, match="'cyst' is not a label"):
        classification.check(rows, Context(labels=TWO.labels, positive="cyst"))
    with pytest.raises(InputError, match="a positive class is for two classes; here are 4"):
        classification.check(made(FOUR)[0], Context(labels=FOUR.labels, positive="a"))


def test_what_has_no_value_is_listed_with_its_reason() -> None:
    rows = [
        Row(id=str(i), turn=0, case=str(i), answer="polyp", prediction="polyp", scores={"benign": 0.2, "polyp": 0.8})
        for i in range(4)
    ]
    entry = scoring.entry(
        classification, scoring.number_units(rows), split="test", leaky=False, baselines={}, not_computed={},
        context=TWO, resamples=100,
    )  # fmt: skip
    assert {"auroc", "specificity"} <= entry["not_computed"].keys()
    assert "all positive, or all negative" in entry["not_computed"]["auroc"]
    assert entry["metrics"]["sensitivity"]["value"] == 1.0
    unscored = [Row(id=str(i), turn=0, answer=row.answer, prediction=row.prediction) for i, row in enumerate(rows)]
    missing = {m.key for m in classification.measures(unscored, 4, TWO) if not isinstance(m, Measure)}
    assert missing == {"auroc", "auprc", "ece"}
