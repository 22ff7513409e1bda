"""Reports: a text about a study, compared with the one that a clinician wrote.

The gold report is the only reference. Measures of clinical content (CheXbert,
RadGraph, RadCliQ) come from models that Suture does not bring:
measure_reports.py runs them where their weights are given, and what it wrote
is read here. Without it they are listed as not computed.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from suture import report_scores
from suture.measures import radcliq
from suture.measures.likeness import word_measures
from suture.measures.text import rouge_words
from suture.report_scores import ReportScore
from suture.tasks import open_vqa
from suture.tasks.base import (
    NOTHING_MORE,
    Context,
    FloatArray,
    Measure,
    Missing,
    Row,
    mean_measure,
    ratio,
    units_of,
)

PIPELINE_TAG = "image-to-text"
check = open_vqa.check

_METEOR = "METEOR (Banerjee & Lavie 2005) as nltk computes it, with WordNet synonyms, mean over reports"
_CLINICAL = (
    *("chexbert_sim", "chexbert_f1", "chexbert_f1_macro", "chexbert_f1_5"),
    *("radgraph_f1", "radcliq_v0", "radcliq_v1"),
)
_NOT_MEASURED = "no scores of measure_reports.py were given (--report-scores)"
_SIMILARITY = (
    "cosine of the CheXbert encoder's embeddings of both reports (Smit et al. 2020; CXR-Report-Metric: semb_score), "
    "mean over reports"
)
_RADGRAPH = (
    "mean of the F1 of entities and of relations that RadGraph found (Jain et al. 2021; CXR-Report-Metric: "
    "radgraph_combined), 0 where none is shared, mean over reports"
)
_RADCLIQ = "RadCliQ-{version} (Yu et al. 2023), the errors a radiologist would find as CXR-Report-Metric foretells them"
_RESCALED = (
    "BERTScore F1 rescaled by the baseline of unrelated texts (bert-score's file of this encoder), as published "
    "figures are, mean over reports"
)
_F1 = (
    "{mean} F1 of {findings} that CheXbert reads in predicted and gold reports, positive and uncertain counted as told"
)
_FIVE = (1, 4, 5, 7, 9)
"""Cardiomegaly, edema, consolidation, atelectasis, pleural effusion: those of CheXpert's competition."""


def measures(rows: Sequence[Row], n_units: int, context: Context = NOTHING_MORE) -> list[Measure | Missing]:
    """Gives ``bleu_1`` to ``bleu_4``, ``rouge_l``, ``meteor``, ``bertscore`` and what measure_reports.py measured.

    What is missing is told, with the reason.
    """
    found: list[Measure | Missing] = [*word_measures(rows, n_units), _meteor(rows, n_units)]
    scores = report_scores.of_rows([(row.prediction, row.answer) for row in rows], context.report_scores)
    if context.bertscore is not None:
        likeness = context.bertscore.f1([(row.prediction, row.answer) for row in rows])
        definition = context.bertscore.definition
        found.append(mean_measure("bertscore", definition, rows, likeness, n_units, bounds=(-1.0, 1.0)))
    elif scores is None or any(one.bertscore is None for one in scores):
        found.append(Missing(key="bertscore", reason="no folder of an encoder was given (--bertscore)"))
    else:
        definition = "BERTScore F1 as measure_reports.py computed it, not rescaled, mean over reports"
        found += _means("bertscore", definition, rows, [one.bertscore for one in scores], n_units)
    if scores is None:
        reason = _NOT_MEASURED if not context.report_scores else "not all of these reports are among --report-scores"
        return [*found, *(Missing(key=key, reason=reason) for key in ("bertscore_rescaled", *_CLINICAL))]
    found += _means("bertscore_rescaled", _RESCALED, rows, [one.bertscore_rescaled for one in scores], n_units)
    found += _means("chexbert_sim", _SIMILARITY, rows, [one.similarity for one in scores], n_units)
    found += _label_f1(rows, scores, n_units)
    found += _means("radgraph_f1", _RADGRAPH, rows, [one.radgraph for one in scores], n_units)
    for version, model in (("v0", radcliq.V0), ("v1", radcliq.V1)):
        values = [
            one.radcliq(model, report_scores.bleu_2(row.prediction, row.answer))
            for row, one in zip(rows, scores, strict=True)
        ]
        definition = _RADCLIQ.format(version=version)
        made = _means(f"radcliq_{version}", definition, rows, values, n_units, bounds=(-10.0, 10.0))
        found += [replace(one, lower_is_better=True) if isinstance(one, Measure) else one for one in made]
    return found


def _means(
    key: str,
    definition: str,
    rows: Sequence[Row],
    scores: Sequence[float | None],
    n_units: int,
    *,
    bounds: tuple[float, float] = (-1.0, 1.0),
) -> list[Measure | Missing]:
    known = [score for score in scores if score is not None]
    if len(known) < len(scores):
        return [Missing(key=key, reason="measure_reports.py was not given what it needs for this")]
    return [mean_measure(key, definition, rows, known, n_units, bounds=bounds)]


def _label_f1(rows: Sequence[Row], scores: Sequence[ReportScore], n_units: int) -> list[Measure | Missing]:
    """F1 of findings: from counts, so that each resample has its own."""
    if not all(one.told and one.gold for one in scores):
        reason = "measure_reports.py was not given CheXbert"
        return [Missing(key=key, reason=reason) for key in _CLINICAL if key.startswith("chexbert_f1")]
    told, gold = (np.array([getattr(one, which) for one in scores], dtype=bool) for which in ("told", "gold"))
    units = units_of(rows)

    def per_unit(flags: NDArray[np.bool_]) -> FloatArray:
        """Counts by unit, [units, findings]."""
        counts = np.zeros((n_units, flags.shape[1]))
        np.add.at(counts, units, flags.astype(np.float64))
        return counts

    hits, said, right = per_unit(told & gold), per_unit(told), per_unit(gold)

    def micro(columns: Sequence[int]) -> Callable[[FloatArray], FloatArray]:
        at = list(columns)

        def statistic(weights: FloatArray) -> FloatArray:
            both = weights @ (said[:, at] + right[:, at]).sum(axis=1)
            return ratio(2 * weights @ hits[:, at].sum(axis=1), both)

        return statistic

    def macro(weights: FloatArray) -> FloatArray:
        # A finding that no one tells of counts 0, as in scikit-learn.
        found: FloatArray = np.nan_to_num(ratio(2 * weights @ hits, weights @ (said + right))).mean(axis=1)
        return found

    every = range(told.shape[1])
    present = len(np.unique(units))
    kinds = (
        ("chexbert_f1", "micro", f"the {told.shape[1]} findings", micro(every)),
        ("chexbert_f1_macro", "mean", f"the {told.shape[1]} findings", macro),
        ("chexbert_f1_5", "micro", "CheXpert's five findings", micro(_FIVE)),
    )
    return [
        Measure(
            key=key, definition=_F1.format(mean=mean, findings=what), n=len(rows), units=present, statistic=computed
        )
        for key, mean, what, computed in kinds
    ]


def _meteor(rows: Sequence[Row], n_units: int) -> Measure | Missing:
    # Loading it takes a second, which no other task should.
    from nltk.translate.meteor_score import single_meteor_score

    try:
        scores = [single_meteor_score(rouge_words(row.answer), rouge_words(row.prediction)) for row in rows]
    except LookupError:  # its own error for data that was not downloaded
        return Missing(key="meteor", reason="nltk's WordNet data is not installed (nltk.download('wordnet'))")
    return mean_measure("meteor", _METEOR, rows, scores, n_units)


def tables(rows: Sequence[Row], context: Context = NOTHING_MORE) -> dict[str, Any]:
    """Gives none: reports are compared text by text."""
    del rows, context
    return {}
