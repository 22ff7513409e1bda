"""Reports as the two tables that CXR-Report-Metric and its kind read: study_id and report, in one order."""

from __future__ import annotations

import csv
import io
from collections.abc import Sequence
from pathlib import Path

from suture import files
from suture.errors import InputError
from suture.records import Prediction


def write(predictions: Sequence[Prediction], pred: Path, gold: Path) -> None:
    """Writes what was said and what is right, one header each, rows in the order given.

    Raises:
        InputError: a study has several questions: a table has one report for each.
    """
    several = next((one.id for one in predictions if one.turn), None)
    if several is not None:
        raise InputError(f"study {several} has more than one question", fix="one report a study: qa.questions: apart")
    for path, texts in ((pred, [one.prediction for one in predictions]), (gold, [one.answer for one in predictions])):
        out = io.StringIO()
        writer = csv.writer(out, lineterminator="\n")
        writer.writerow(["study_id", "report"])
        writer.writerows([one.id, text] for one, text in zip(predictions, texts, strict=True))
        files.write_text(path, out.getvalue())


def merged(parts: Sequence[Path], read: Sequence[Sequence[Prediction]]) -> list[Prediction]:
    """Joins chunks, in their order.

    Raises:
        InputError: two of them have one question.
    """
    seen: dict[tuple[str, int], Path] = {}
    for path, predictions in zip(parts, read, strict=True):
        for one in predictions:
            if (one.id, one.turn) in seen:
                raise InputError(f"{one.id} is in {seen[one.id, one.turn].name} too", where=path, fix="make them again")
            seen[one.id, one.turn] = path
    return [one for predictions in read for one in predictions]
