"""Open questions: the model writes its answer, and it is compared with the gold answer."""

from __future__ import annotations

import unicodedata
from collections.abc import Sequence
from typing import Any

from suture.errors import InputError
from suture.measures.counts import confusion
from suture.measures.likeness import word_measures
from suture.measures.naming import phase_measures, read_phases, set_measures
from suture.tasks.base import NOTHING_MORE, Context, Measure, Missing, Row, mean_measure

PIPELINE_TAG = "video-text-to-text"
EXACT = "share of answers that equal the gold answer, character by character"
NORMALISED = (
    "share of answers that equal the gold answer once both are put into Unicode form NFC and lower case "
    "(case folding), with white space collapsed and trimmed"
)


def normalise(text: str) -> str:
    """Removes what two spellings of one answer may differ in: Unicode form, case, white space.

    Punctuation stays: "no." is not "no".
    """
    folded = unicodedata.normalize("NFC", text).casefold()
    # Case folding can leave NFC (U+0345, for one), so the form is made again.
    return " ".join(unicodedata.normalize("NFC", folded).split())


def check(rows: Sequence[Row], context: Context = NOTHING_MORE) -> None:
    """Refuses a row without a gold answer: an empty prediction would count as right.

    Raises:
        InputError: naming the row.
    """
    del context
    for row in rows:
        if not row.answer.strip():
            raise InputError(
                "the gold answer is empty",
                where=f"id {row.id!r}, turn {row.turn}",
                fix="give an answer, or leave it out",
            )


def measures(rows: Sequence[Row], n_units: int, context: Context = NOTHING_MORE) -> list[Measure | Missing]:
    """Gives accuracy (``acc``, ``acc@KIND``, both also normalised), what answers name, and BLEU and ROUGE-L."""
    exact = [float(row.prediction == row.answer) for row in rows]
    loose = [float(normalise(row.prediction) == normalise(row.answer)) for row in rows]
    found: list[Measure | Missing] = []
    for key, definition, scores in (("acc", EXACT, exact), ("acc_normalised", NORMALISED, loose)):
        found.append(mean_measure(key, definition, rows, scores, n_units))
        for kind in sorted({row.kind for row in rows} - {""}):
            mine = [i for i, row in enumerate(rows) if row.kind == kind]
            found.append(
                mean_measure(
                    f"{key}@{kind}",
                    f"{definition}; questions of kind {kind}",
                    [rows[i] for i in mine],
                    [scores[i] for i in mine],
                    n_units,
                )
            )
    found += phase_measures(rows, n_units, context)
    found += set_measures(rows, n_units, context)
    return [*found, *word_measures(rows, n_units)]


def tables(rows: Sequence[Row], context: Context = NOTHING_MORE) -> dict[str, Any]:
    """Gives the confusion matrix of the phases, where the predictions tell the phase."""
    mine, gold, predicted, names = read_phases(rows, context)
    return {"confusion": confusion(gold, predicted, names)} if any(row.phase for row in mine) else {}
