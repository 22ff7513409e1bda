"""FADA's eight questions about a fetal ultrasound image, each scored by the measure that fits it.

A row's ``kind`` says which question it answers (:mod:`suture.datasets.fetal_ultrasound.questions`).
``primary`` is the mean over the questions of their own measures: they are
of different kinds, so it ranks runs and means nothing by itself.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from suture.datasets.fetal_ultrasound.structures import STRUCTURES
from suture.measures import fetal, text
from suture.measures.counts import confusion
from suture.tasks import open_vqa
from suture.tasks.base import NOTHING_MORE, Context, FloatArray, Measure, Missing, Row, mean_measure

PIPELINE_TAG = "visual-question-answering"
check = open_vqa.check

PRIMARY = {
    "anatomy": "set_f1@anatomy",
    "orientation": "relaxed@orientation",
    "plane": "relaxed@plane",
    "measurements": "keyword_f1@measurements",
    "gestational_age": "bin@gestational_age",
    "quality": "tier@quality",
    "normality": "binary@normality",
    "recommendations": "rouge_l@recommendations",
}
"""The measure of each question, in FADA's order."""

_SET = "{what} of the structures listed against the gold answer's, mean over images; synonyms are one structure"
_MEANS: dict[str, tuple[str, Callable[[str, str], float]]] = {
    "relaxed@orientation": (
        "mean over images: 1 for the gold answer but for case and blanks, 0.5 for its presentation",
        fetal.same_or_alike(fetal.presentation),
    ),
    "relaxed@plane": (
        "mean over images: 1 for the gold answer but for case and blanks, 0.5 for its kind of plane",
        fetal.same_or_alike(fetal.plane),
    ),
    "keyword_f1@measurements": (
        "F1 of the measurements named against the gold answer's, mean over images; 1 where neither names any",
        fetal.measurement_score,
    ),
    "bin@gestational_age": (
        "mean over images: 1 in the gold answer's bin of weeks, 0.5 in the one beside it "
        "(8-13, 13-15, 15-20, 20-25, 25-30, 30-35, 35-38, 38 and more; a range by its middle)",
        fetal.age_score,
    ),
    "tier@quality": (
        "mean over images: 1 in the gold answer's tier, 0.5 in the one beside it (good, medium, low)",
        fetal.tier_score,
    ),
    "rouge_l@recommendations": (
        text.ROUGE_L,
        lambda said, gold: text.rouge_l(text.rouge_words(said), text.rouge_words(gold)),
    ),
}


def measures(rows: Sequence[Row], n_units: int, context: Context = NOTHING_MORE) -> list[Measure | Missing]:
    """Gives for each question its own measure, exact accuracy (``acc``, ``acc@KIND``), and ``primary``."""
    found: list[Measure | Missing] = list(_accuracies(rows, n_units))
    of_kind = {kind: [row for row in rows if row.kind == kind] for kind in PRIMARY}
    found += _structures(of_kind["anatomy"], n_units, context)
    for key, (definition, score) in _MEANS.items():
        mine = of_kind[key.partition("@")[2]]
        if mine:
            found.append(
                mean_measure(key, definition, mine, [score(row.prediction, row.answer) for row in mine], n_units)
            )
    found += _normality(of_kind["normality"], n_units)
    found += _meaning(of_kind["recommendations"], n_units, context)
    return [*found, *_primary(found)]


def _accuracies(rows: Sequence[Row], n_units: int) -> list[Measure]:
    words = "share of answers that are the gold answer but for case, blanks, hyphens and punctuation at the end"
    right = [float(fetal.plain(row.prediction) == fetal.plain(row.answer)) for row in rows]
    made = [mean_measure("acc", words, rows, right, n_units)]
    for kind in sorted({row.kind for row in rows} - {""}):
        mine = [place for place, row in enumerate(rows) if row.kind == kind]
        definition = f"{words}; questions of kind {kind}"
        made.append(mean_measure(f"acc@{kind}", definition, [rows[i] for i in mine], [right[i] for i in mine], n_units))
    return made


def _structures(rows: Sequence[Row], n_units: int, context: Context) -> list[Measure]:
    if not rows:
        return []
    synonyms = context.synonyms or STRUCTURES
    pairs = [(fetal.structures(row.prediction, synonyms), fetal.structures(row.answer, synonyms)) for row in rows]
    scores = {
        "set_f1@anatomy": ("F1", [fetal.f_score(said, gold) for said, gold in pairs]),
        "set_f2@anatomy": (
            "F2 (recall weighs double, FADA's)",
            [fetal.f_score(said, gold, 2.0) for said, gold in pairs],
        ),
        "set_precision@anatomy": ("precision", [_share(said & gold, said, gold) for said, gold in pairs]),
        "set_recall@anatomy": ("recall", [_share(said & gold, gold, said) for said, gold in pairs]),
    }
    return [mean_measure(key, _SET.format(what=what), rows, each, n_units) for key, (what, each) in scores.items()]


def _share(hits: frozenset[str], of: frozenset[str], other: frozenset[str]) -> float:
    return len(hits) / len(of) if of else float(not other)


def _normality(rows: Sequence[Row], n_units: int) -> list[Measure | Missing]:
    """Gives ``binary``, ``sensitivity`` and ``specificity``; an answer that says neither normal nor not is wrong."""
    told = [row for row in rows if fetal.normality(row.answer)]
    if not told:
        return [Missing(key="binary@normality", reason="no gold answer says normal or abnormal")] if rows else []
    right = [float(fetal.normality(row.prediction) == fetal.normality(row.answer)) for row in told]
    made: list[Measure | Missing] = [
        mean_measure("binary@normality", "share of images told right as normal or abnormal", told, right, n_units)
    ]
    for key, wanted in (("sensitivity@normality", "abnormal"), ("specificity@normality", "normal")):
        mine = [place for place, row in enumerate(told) if fetal.normality(row.answer) == wanted]
        if mine:
            definition = f"share of {wanted} images told as {wanted}"
            made.append(mean_measure(key, definition, [told[i] for i in mine], [right[i] for i in mine], n_units))
        else:
            made.append(Missing(key=key, reason=f"no gold answer says {wanted}"))
    return made


def _meaning(rows: Sequence[Row], n_units: int, context: Context) -> list[Measure | Missing]:
    key = "bertscore@recommendations"
    if not rows:
        return []
    if context.bertscore is None:
        return [Missing(key=key, reason="no folder of an encoder was given (--bertscore)")]
    scores = context.bertscore.f1([(row.prediction, row.answer) for row in rows])
    return [mean_measure(key, context.bertscore.definition, rows, scores, n_units, bounds=(-1.0, 1.0))]


def _primary(found: Sequence[Measure | Missing]) -> list[Measure]:
    own = {one.key: one for one in found if isinstance(one, Measure)}
    parts = [own[key] for key in PRIMARY.values() if key in own]
    if not parts:
        return []

    def statistic(weights: FloatArray) -> FloatArray:
        return np.asarray(np.mean([part.statistic(weights) for part in parts], axis=0))

    asked = ", ".join(part.key for part in parts)
    return [
        Measure(
            key="primary",
            definition=f"unweighted mean of each question's own measure: {asked}",
            n=sum(part.n for part in parts),
            units=max(part.units for part in parts),
            statistic=statistic,
        )
    ]


def tables(rows: Sequence[Row], context: Context = NOTHING_MORE) -> dict[str, Any]:
    """Gives each question's own measure by its kind, and who is told normal and abnormal."""
    del context
    asked = {row.kind: row.question for row in rows if row.kind in PRIMARY}
    made: dict[str, Any] = {
        "questions": [
            {"kind": kind, "key": key, "question": asked[kind]} for kind, key in PRIMARY.items() if kind in asked
        ]
    }
    told = [row for row in rows if row.kind == "normality" and fetal.normality(row.answer)]
    if told:
        names = ["normal", "abnormal"]
        place = {name: number for number, name in enumerate(names)}
        gold = [place[fetal.normality(row.answer)] for row in told]
        said = [place.get(fetal.normality(row.prediction), -1) for row in told]
        made["confusion"] = confusion(gold, said, names)
    return made
