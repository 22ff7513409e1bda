"""Closed questions: the answer is one of a list of labels.

The measures of SSG-VQA come in two variants. ``@official``: over the classes
that occur as gold, as the authors' ``eval_for_f1_et_all`` (CAMMA-public/SSG-VQA,
utils/utils.py). ``@published``: over all labels, absent ones counted as 0, as the
published fine-tune computes them. What both call mAP is the mean precision of
single predictions; the average precision of ranked scores is ``ap_macro``.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from suture.delimited import nearest
from suture.errors import InputError
from suture.measures import calibration
from suture.measures.counts import Counts, confusion, mean_over
from suture.measures.ranking import Ranking
from suture.tasks.base import NOTHING_MORE, Context, FloatArray, Measure, Missing, Row, kinds_of, units_of
from suture.tasks.open_vqa import normalise

PIPELINE_TAG = "visual-question-answering"

_ACC = "share of questions answered with their gold label"
_WF1 = "F1 of classes averaged with their gold rows as weights"
_AVERAGED = {
    "mAP": ("precision (0 for a class never predicted)", Counts.precision),
    "mAR": ("recall", Counts.recall),
    "mAF1": ("F1", Counts.f1),
}
_AP = (
    "average precision of a label's probability among all questions (as scikit-learn), unweighted mean over the "
    "labels that occur as gold"
)


def labels_of(rows: Sequence[Row], context: Context) -> list[str]:
    """Returns the labels in their official order, or the answers that occur, sorted."""
    return list(context.labels or context.observed) or sorted({row.answer for row in rows})


def class_of(answer: str, labels: Sequence[str]) -> int:
    """Returns the place of an answer among the labels, -1 where it is none of them.

    It is the label it equals, else the only one it equals but for case and white space.
    """
    if answer in labels:
        return labels.index(answer)
    like = [place for place, label in enumerate(labels) if normalise(label) == normalise(answer)]
    return like[0] if len(like) == 1 else -1


def classes_of(answers: Sequence[str], labels: Sequence[str]) -> list[int]:
    """Returns the places of many answers; each text is looked up once."""
    known = {answer: class_of(answer, labels) for answer in set(answers)}
    return [known[answer] for answer in answers]


def check(rows: Sequence[Row], context: Context = NOTHING_MORE) -> None:
    """Refuses a gold answer that is none of the labels, and scores of other choices than the labels.

    Raises:
        InputError: naming the row.
    """
    labels = labels_of(rows, context)
    known = set(labels)
    for row, place in zip(rows, classes_of([row.answer for row in rows], labels), strict=True):
        where = f"id {row.id!r}, turn {row.turn}"
        if place < 0:
            raise InputError(
                f"the gold answer {row.answer!r} is not a label{nearest(row.answer, labels)}",
                where=where,
                fix=f"the {len(labels)} labels are those of --labels, in its spelling",
            )
        if context.labels and row.scores and row.scores.keys() != known:
            other = sorted(row.scores.keys() ^ known)[0]
            raise InputError(
                f"the scores are of other choices than the labels, first: {other!r}",
                where=where,
                fix="score the labels of --labels, each of them",
            )


def measures(rows: Sequence[Row], n_units: int, context: Context = NOTHING_MORE) -> list[Measure | Missing]:
    """Gives ``acc``, ``acc@KIND``, ``mAP``, ``mAR``, ``mAF1`` in both variants, ``wF1``, ``ap_macro`` and ``ece``."""
    labels = labels_of(rows, context)
    gold, predicted = (classes_of(which, labels) for which in _answers(rows))
    counts = Counts(rows, gold, predicted, n_units)
    found: list[Measure | Missing] = [counts.measure("acc", _ACC, counts.accuracy)]
    for kind in sorted({kind for row in rows for kind in kinds_of(row)}):
        mine = [i for i, row in enumerate(rows) if kind in kinds_of(row)]
        few = Counts([rows[i] for i in mine], [gold[i] for i in mine], [predicted[i] for i in mine], n_units)
        found.append(few.measure(f"acc@{kind}", f"{_ACC}; questions of kind {kind}", few.accuracy))
    found.append(counts.measure("wF1", _WF1, counts.weighted_f1))
    for key, (words, method) in _AVERAGED.items():
        official = f"unweighted mean {words} over the classes that occur as gold; not average precision"
        found.append(counts.measure(f"{key}@official", official, _over_gold(counts, method)))
        if context.labels:
            published = f"unweighted mean {words} over all {len(labels)} labels, absent ones 0; not average precision"
            found.append(counts.measure(f"{key}@published", published, _over_labels(counts, method, len(labels))))
        else:
            found.append(Missing(key=f"{key}@published", reason="the list of all labels was not given (--labels)"))
    return [*found, *_from_scores(rows, gold, predicted, labels, n_units)]


def _answers(rows: Sequence[Row]) -> tuple[list[str], list[str]]:
    return [row.answer for row in rows], [row.prediction for row in rows]


_ByClass = Callable[[Counts, FloatArray], FloatArray]


def _over_gold(counts: Counts, method: _ByClass) -> Callable[[FloatArray], FloatArray]:
    return lambda weights: mean_over(method(counts, weights), counts.in_gold(weights))


def _over_labels(counts: Counts, method: _ByClass, n_labels: int) -> Callable[[FloatArray], FloatArray]:
    return lambda weights: method(counts, weights).sum(axis=1) / n_labels


def _from_scores(
    rows: Sequence[Row], gold: Sequence[int], predicted: Sequence[int], labels: Sequence[str], n_units: int
) -> list[Measure | Missing]:
    """Gives ``ap_macro`` and ``ece``, or why not."""
    if reason := why_no_scores(rows, labels):
        return [Missing(key=key, reason=reason) for key in ("ap_macro", "ece")]
    units, truth = units_of(rows), np.array(gold)
    chances = calibration.probabilities(rows, labels)
    rankings = [Ranking(chances[:, c], truth == c, units, n_units) for c in sorted(set(gold))]

    def ap_macro(weights: FloatArray) -> FloatArray:
        values = np.stack([ranking.average_precision(weights) for ranking in rankings], axis=1)
        # A label that a resample has no gold row of takes no part in it.
        return mean_over(np.nan_to_num(values), ~np.isnan(values))

    right = [g == p for g, p in zip(gold, predicted, strict=True)]
    return [
        Measure(key="ap_macro", definition=_AP, n=len(rows), units=len(np.unique(units)), statistic=ap_macro),
        calibration.error(rows, chances.max(axis=1), right, n_units),
    ]


def why_no_scores(rows: Sequence[Row], labels: Sequence[str]) -> str:
    """Says why the rows' scores cannot be used: '' where they can."""
    without = sum(not row.scores for row in rows)
    if without:
        return f"{without} of {len(rows)} predictions have no scores of the choices"
    known = set(labels)
    other = sum(not row.scores.keys() >= known for row in rows)
    return f"{other} of {len(rows)} predictions have no score of some label" if other else ""


def tables(rows: Sequence[Row], context: Context = NOTHING_MORE) -> dict[str, Any]:
    """Gives the confusion matrix of the labels, and calibration where there are scores."""
    labels = labels_of(rows, context)
    gold, predicted = (classes_of(which, labels) for which in _answers(rows))
    made: dict[str, Any] = {"confusion": confusion(gold, predicted, labels)}
    if not why_no_scores(rows, labels):
        right = [g == p for g, p in zip(gold, predicted, strict=True)]
        made["calibration"] = calibration.table(calibration.probabilities(rows, labels).max(axis=1), right)
    return made
