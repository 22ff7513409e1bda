"""Classification: every clip or image has one of a list of classes.

Two classes: one is looked for, the positive one (``--positive``, else the second
label), and ``sensitivity``, ``specificity``, ``auroc`` and ``auprc`` are about it.
More classes: each against the rest, averaged; the key says so (``auroc@macro_ovr``).
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import Any

import numpy as np

from suture.errors import InputError
from suture.measures import calibration
from suture.measures.counts import Counts, mean_over
from suture.measures.ranking import Ranking
from suture.tasks import closed_vqa
from suture.tasks.base import NOTHING_MORE, Context, FloatArray, Measure, Missing, Row, units_of

PIPELINE_TAG = "video-classification"

_ACC = "share of rows given their class"
_F1_MACRO = "unweighted mean F1 over the classes that occur, as gold or as prediction (as scikit-learn's macro)"
_F1_WEIGHTED = "F1 of classes averaged with their gold rows as weights (as scikit-learn's weighted)"
_ONE_CLASS = "the rows are all positive, or all negative"


def check(rows: Sequence[Row], context: Context = NOTHING_MORE) -> None:
    """Refuses what closed questions refuse, and a positive class that is no label or one of many.

    Raises:
        InputError: naming it.
    """
    closed_vqa.check(rows, context)
    labels = closed_vqa.labels_of(rows, context)
    if context.positive is None:
        return
    if context.positive not in labels:
        raise InputError(f"the positive class {context.positive!r} is not a label", fix=f"one of {', '.join(labels)}")
    if len(labels) > 2:
        raise InputError(
            f"a positive class is for two classes; here are {len(labels)}",
            fix="leave --positive out: each class is then held against the rest, and the keys say so",
        )


def measures(rows: Sequence[Row], n_units: int, context: Context = NOTHING_MORE) -> list[Measure | Missing]:
    """Gives accuracy, F1 by name, sensitivity and specificity, and from scores AUROC, AUPRC and ``ece``."""
    labels = closed_vqa.labels_of(rows, context)
    gold = closed_vqa.classes_of([row.answer for row in rows], labels)
    predicted = closed_vqa.classes_of([row.prediction for row in rows], labels)
    counts = Counts(rows, gold, predicted, n_units)
    found: list[Measure | Missing] = [
        counts.measure("acc", _ACC, counts.accuracy),
        counts.measure("f1_macro", _F1_MACRO, lambda w: mean_over(counts.f1(w), counts.occurring(w))),
        counts.measure("f1_weighted", _F1_WEIGHTED, counts.weighted_f1),
    ]
    if len(labels) == 2:
        positive = labels.index(context.positive) if context.positive else 1
        found += _binary(counts, positive, labels[positive])
        found += _ranked_binary(rows, gold, labels, positive, n_units)
        if context.published:
            found.append(_combined(counts, 1 - positive, [one for one in found if isinstance(one, Measure)]))
    else:
        found += _against_rest(counts)
        found += _ranked_against_rest(rows, gold, labels, n_units)
    reason = closed_vqa.why_no_scores(rows, labels)
    if reason:
        return [*found, Missing(key="ece", reason=reason)]
    right = [g == p for g, p in zip(gold, predicted, strict=True)]
    return [*found, calibration.error(rows, calibration.probabilities(rows, labels).max(axis=1), right, n_units)]


_COMBINED = {"specificity": 0.35, "sensitivity": 0.3, "f1_weighted": 0.2, "auroc": 0.1, "auprc": 0.05}


def _combined(counts: Counts, negative: int, found: Sequence[Measure]) -> Measure | Missing:
    """Gives ``combined@published``, what eval_finetune_new.py of the Endo-FM fork selects checkpoints by in training.

    It favours specificity, and adds up to a tenth for the first five true negatives. (Its other
    places weigh otherwise; these are the weights of the training loop.)
    """
    parts = {one.key: one for one in found}
    if absent := [key for key in _COMBINED if key not in parts]:
        return Missing(key="combined@published", reason=f"it is made of {absent[0]}, which cannot be computed")
    column = counts.place(negative)

    def combined(weights: FloatArray) -> FloatArray:
        total: FloatArray = sum(
            (share * parts[key].statistic(weights) for key, share in _COMBINED.items()), start=np.zeros(len(weights))
        )
        hits = np.zeros(len(weights)) if column is None else counts.drawn(weights)[0][:, column]
        return total * (1 + 0.1 * np.minimum(hits, 5) / 5)

    words = " + ".join(f"{share:g} {key}" for key, share in _COMBINED.items())
    return counts.measure(
        "combined@published",
        f"({words}) times 1 + 0.1 min(true negatives, 5) / 5: what the published Endo-FM fork selects by",
        combined,
        bounds=(0.0, 1.1),
        undefined=_ONE_CLASS,
    )


def tables(rows: Sequence[Row], context: Context = NOTHING_MORE) -> dict[str, Any]:
    """Gives the confusion matrix, and where there are scores calibration and ``curves``.

    A curve is a list of points [threshold, false positive rate, true positive
    rate, precision], by class; of two classes the one looked for alone.
    """
    made = closed_vqa.tables(rows, context)
    labels = closed_vqa.labels_of(rows, context)
    if closed_vqa.why_no_scores(rows, labels):
        return made
    chances, gold = calibration.probabilities(rows, labels), [row.answer for row in rows]
    shown = [context.positive or labels[1]] if len(labels) == 2 else labels
    made["curves"] = {name: curve(chances[:, labels.index(name)], [one == name for one in gold]) for name in shown}
    return made


def curve(scores: FloatArray, positive: Sequence[bool], most: int = 200) -> list[list[float]]:
    """Returns the points of a ROC and a precision–recall curve, at most ``most``, from the highest threshold on.

    Rows of equal score are one threshold. A class that all rows have, or none, has no curve.
    """
    truth = np.array(positive, dtype=np.float64)
    if not 0 < truth.sum() < len(truth):
        return []
    order = np.argsort(-scores, kind="stable")
    last = np.flatnonzero(np.diff(scores[order], append=-np.inf))
    hits, alarms = np.cumsum(truth[order])[last], np.cumsum(1 - truth[order])[last]
    points = np.stack(
        [scores[order][last], alarms / (1 - truth).sum(), hits / truth.sum(), hits / (hits + alarms)], axis=1
    )
    kept = np.unique(np.linspace(0, len(points) - 1, min(most, len(points))).round().astype(int))
    return [[round(float(value), 6) for value in points[at]] for at in kept]


def _binary(counts: Counts, positive: int, name: str) -> list[Measure]:
    """Gives ``f1``, ``sensitivity`` and ``specificity`` of the positive class."""
    column = counts.place(positive)

    def of_positive(values: FloatArray) -> FloatArray:
        return np.full(len(values), np.nan) if column is None else values[:, column]

    def sensitivity(weights: FloatArray) -> FloatArray:
        there = of_positive(counts.in_gold(weights).astype(np.float64)) > 0
        return np.where(there, of_positive(counts.recall(weights)), np.nan)

    def f1(weights: FloatArray) -> FloatArray:
        there = of_positive(counts.occurring(weights).astype(np.float64)) > 0
        return np.where(there, of_positive(counts.f1(weights)), np.nan)

    def specificity(weights: FloatArray) -> FloatArray:
        if column is None:  # no row has it, and none was given it
            return np.ones(len(weights))
        return of_positive(counts.specificity(weights))

    return [
        counts.measure("f1", f"F1 of class {name!r}", f1, undefined=_ONE_CLASS),
        counts.measure(
            "sensitivity", f"share of the rows of class {name!r} that were found", sensitivity, undefined=_ONE_CLASS
        ),
        counts.measure(
            "specificity", f"share of the other rows not given class {name!r}", specificity, undefined=_ONE_CLASS
        ),
    ]


def _against_rest(counts: Counts) -> list[Measure]:
    """Gives ``sensitivity@macro`` and ``specificity@macro``."""
    return [
        counts.measure(
            "sensitivity@macro",
            "unweighted mean recall over the classes that occur as gold (balanced accuracy)",
            lambda w: mean_over(counts.recall(w), counts.in_gold(w)),
        ),
        counts.measure(
            "specificity@macro",
            "unweighted mean, over the classes that occur as gold, of the share of other rows not given the class",
            lambda w: mean_over(counts.specificity(w), counts.in_gold(w) & ~np.isnan(counts.specificity(w))),
        ),
    ]


def _ranked_binary(
    rows: Sequence[Row], gold: Sequence[int], labels: Sequence[str], positive: int, n_units: int
) -> list[Measure | Missing]:
    """Gives ``auroc`` and ``auprc`` of the positive class."""
    if reason := closed_vqa.why_no_scores(rows, labels):
        return [Missing(key=key, reason=reason) for key in ("auroc", "auprc")]
    units = units_of(rows)
    chances = calibration.probabilities(rows, labels)
    ranking = Ranking(chances[:, positive], np.array(gold) == positive, units, n_units)
    make = partial(Measure, n=len(rows), units=len(np.unique(units)), undefined=_ONE_CLASS)
    name = labels[positive]
    return [
        make(key="auroc", definition=f"area under the ROC curve, class {name!r}", statistic=ranking.auroc),
        make(
            key="auprc",
            definition=f"average precision, class {name!r} (as scikit-learn, not interpolated)",
            statistic=ranking.average_precision,
        ),
    ]


def _ranked_against_rest(
    rows: Sequence[Row], gold: Sequence[int], labels: Sequence[str], n_units: int
) -> list[Measure | Missing]:
    """Gives ``auroc@macro_ovr`` and ``auprc@macro_ovr``."""
    keys = ("auroc@macro_ovr", "auprc@macro_ovr")
    if reason := closed_vqa.why_no_scores(rows, labels):
        return [Missing(key=key, reason=reason) for key in keys]
    units, truth = units_of(rows), np.array(gold)
    chances = calibration.probabilities(rows, labels)
    rankings = [Ranking(chances[:, c], truth == c, units, n_units) for c in sorted(set(gold))]

    def averaged(method: Any) -> Any:
        def statistic(weights: FloatArray) -> FloatArray:
            values = np.stack([method(ranking, weights) for ranking in rankings], axis=1)
            # A class that a resample holds no row of, or nothing but, takes no part in it.
            return mean_over(np.nan_to_num(values), ~np.isnan(values))

        return statistic

    make = partial(Measure, n=len(rows), units=len(np.unique(units)), undefined="all rows are of one class")
    over = "each class against the rest, unweighted mean over the classes that occur as gold"
    return [
        make(key=keys[0], definition=f"area under the ROC curve, {over}", statistic=averaged(Ranking.auroc)),
        make(key=keys[1], definition=f"average precision, {over}", statistic=averaged(Ranking.average_precision)),
    ]
