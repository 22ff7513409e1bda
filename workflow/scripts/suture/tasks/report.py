"""Reports: a text about a study, compared with the one that a clinician wrote.

The gold report is the only reference. Measures of clinical content (CheXbert,
RadGraph, RadCliQ) need models that Suture does not bring; they are listed as
not computed.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from suture.measures.likeness import word_measures
from suture.measures.text import rouge_words
from suture.tasks import open_vqa
from suture.tasks.base import NOTHING_MORE, Context, Measure, Missing, Row, mean_measure

PIPELINE_TAG = "image-to-text"
check = open_vqa.check

_METEOR = "METEOR (Banerjee & Lavie 2005) as nltk computes it, with WordNet synonyms, mean over reports"
_CLINICAL = ("chexbert_f1", "chexbert_sim", "radgraph_f1", "radcliq_v0", "radcliq_v1")


def measures(rows: Sequence[Row], n_units: int, context: Context = NOTHING_MORE) -> list[Measure | Missing]:
    """Gives ``bleu_1`` to ``bleu_4``, ``rouge_l``, ``bertscore``, ``meteor``, and says which others are missing."""
    found: list[Measure | Missing] = [*word_measures(rows, n_units), _meteor(rows, n_units)]
    if context.bertscore is None:
        found.append(Missing(key="bertscore", reason="no folder of an encoder was given (--bertscore)"))
    else:
        scores = context.bertscore.f1([(row.prediction, row.answer) for row in rows])
        found.append(mean_measure("bertscore", context.bertscore.definition, rows, scores, n_units, bounds=(-1.0, 1.0)))
    return [*found, *(Missing(key=key, reason="its labelling model is no part of this version") for key in _CLINICAL)]


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
