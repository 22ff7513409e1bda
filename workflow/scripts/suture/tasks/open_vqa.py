"""Open questions: the model writes its answer, and it is compared with the gold answer."""

from __future__ import annotations

import unicodedata
from collections.abc import Sequence

from suture.errors import InputError
from suture.tasks.base import Measure, Row, mean_measure

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


def check(rows: Sequence[Row]) -> None:
    """Refuses a row without a gold answer: an empty prediction would count as right.

    Raises:
        InputError: naming the row.
    """
    for row in rows:
        if not row.answer.strip():
            raise InputError(
                "the gold answer is empty",
                where=f"id {row.id!r}, turn {row.turn}",
                fix="give an answer, or leave it out",
            )


def measures(rows: Sequence[Row], n_units: int) -> list[Measure]:
    """Gives ``acc``, ``acc@KIND`` for each kind of question, and ``acc_normalised``."""
    exact = [float(row.prediction == row.answer) for row in rows]
    loose = [float(normalise(row.prediction) == normalise(row.answer)) for row in rows]
    found = [
        mean_measure("acc", EXACT, rows, exact, n_units),
        mean_measure("acc_normalised", NORMALISED, rows, loose, n_units),
    ]
    for kind in sorted({row.kind for row in rows} - {""}):
        mine = [i for i, row in enumerate(rows) if row.kind == kind]
        found.append(
            mean_measure(
                f"acc@{kind}",
                f"{EXACT}; questions of kind {kind}",
                [rows[i] for i in mine],
                [exact[i] for i in mine],
                n_units,
            )
        )
    return found
