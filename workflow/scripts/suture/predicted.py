"""Reading what was predicted, and the gold answers it is compared with, from the files people have.

Predictions are JSON Lines with id, answer, prediction, or CSV with study_id and
report, whose gold reports are in another CSV.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from suture import delimited, files
from suture.errors import InputError
from suture.tasks.base import Row

_COLUMNS = {
    "study_id": ("study", "id", "sample", "sample_id"),
    "report": ("prediction", "text", "findings"),
    "case": ("case_id", "patient", "patient_id", "subject", "subject_id"),
}
_NO_TEXT = frozenset({"", "nan", "none", "null", "<na>"})
"""What spreadsheet libraries write where there is nothing."""


@dataclass(frozen=True, kw_only=True)
class Predicted:
    """The rows to score, and by reason how many of the files' lines are in none of them."""

    rows: list[Row]
    left_out: dict[str, int]


def read(path: Path, gold: Mapping[str, str] | None = None) -> Predicted:
    """Reads predictions.

    JSON Lines: id, answer, prediction and optional case, clip, kind, phase,
    question, turn, scores; other keys are passed over. With ``gold`` the
    answers are those. CSV: study_id and report, optional case; needs ``gold``.
    Units are numbered by :func:`suture.scoring.number_units`.

    Left out, counted: ``no_reference``, no gold answer of this id;
    ``no_prediction``, a gold answer that nothing was predicted for.

    Raises:
        InputError: there is no row, a key is missing or of the wrong type, or
            an (id, turn) occurs twice.
    """
    if is_table(path):
        if gold is None:
            raise InputError(
                "the predictions are a table of reports, without the gold ones",
                where=path,
                fix="give the gold reports, a CSV with study_id and report, as --references",
            )
        found = [Row(id=name, turn=0, answer="", prediction=text, case=case) for name, text, case in _reports(path)]
    else:
        found = _rows(path, needs_answer=gold is None)
    if not found:
        raise InputError("no predictions in this file", where=path, fix="predict first: there is nothing to score")
    return Predicted(rows=found, left_out={}) if gold is None else _with_gold(path, found, gold)


def is_table(path: Path) -> bool:
    """Whether a file is CSV and not JSON Lines: by its name, else by how it begins."""
    if path.suffix.lower() in (".csv", ".tsv", ".jsonl", ".json"):
        return path.suffix.lower() in (".csv", ".tsv")
    return not files.read_text(path).lstrip().startswith(("{", "["))


def read_gold(path: Path) -> dict[str, str]:
    """Reads gold reports by id: CSV with study_id and report. Reports without text have no entry.

    Raises:
        InputError: a column is missing or an id occurs twice.
    """
    return {name: text for name, text, _ in _reports(path) if text}


def _reports(path: Path) -> list[tuple[str, str, str]]:
    """Reads (id, text, case) of each row of a table of reports; '' for a text that is not there."""
    table = delimited.read(path, _COLUMNS, required=["study_id", "report"])
    seen: dict[str, int] = {}
    found = []
    for row in table.rows:
        name, text, where = row.cells["study_id"], row.cells["report"], f"{path}:{row.line}"
        if not name:
            raise InputError("a report without study_id", where=where)
        if row.surplus:
            raise InputError(
                f"{row.surplus} cells more than columns", where=where, fix="quote reports that hold separators"
            )
        if name in seen:
            raise InputError(
                f"study_id {name!r} occurs twice, first at line {seen[name]}", where=where, fix="keep one of them"
            )
        seen[name] = row.line
        found.append((name, "" if text.casefold() in _NO_TEXT else text, row.cells.get("case", "")))
    return found


def _with_gold(path: Path, rows: list[Row], gold: Mapping[str, str]) -> Predicted:
    kept = [dataclasses.replace(row, answer=gold[row.id]) for row in rows if row.id in gold]
    if not kept:
        raise InputError(
            f"none of the {len(rows)} predictions has a reference; first id: {rows[0].id!r}",
            where=path,
            fix="use the same ids in both files",
        )
    left_out = {"no_reference": len(rows) - len(kept), "no_prediction": len(set(gold) - {row.id for row in kept})}
    return Predicted(rows=kept, left_out={reason: n for reason, n in left_out.items() if n})


def _rows(path: Path, *, needs_answer: bool) -> list[Row]:
    rows: list[Row] = []
    seen: dict[tuple[str, int], int] = {}
    for number, values in enumerate(files.read_jsonl(path), start=1):
        where = f"{path}, record {number}"
        row = _row(values, where, needs_answer=needs_answer)
        if (row.id, row.turn) in seen:
            raise InputError(
                f"id {row.id!r}, turn {row.turn} occurs twice, first as record {seen[row.id, row.turn]}",
                where=where,
                fix="give each question of a sample its own `turn` (0, 1, ...), and each sample its own id",
            )
        seen[row.id, row.turn] = number
        rows.append(row)
    return rows


def _row(values: Any, where: str, *, needs_answer: bool) -> Row:
    needed = ("id", "answer", "prediction") if needs_answer else ("id", "prediction")
    if not isinstance(values, dict):
        raise InputError("not a JSON object", where=where, fix="one object a line, with id, answer, prediction")
    missing = [key for key in needed if values.get(key) is None]
    if missing:
        raise InputError(
            f"missing: {', '.join(missing)}", where=where, fix="each line needs id, answer (gold) and prediction"
        )
    texts: dict[str, str] = {}
    for key in ("id", "answer", "prediction", "case", "clip", "kind", "phase", "question"):
        value = values.get(key)
        if key in ("id", "case") and isinstance(value, int) and not isinstance(value, bool):
            value = str(value)
        if value is not None and not isinstance(value, str):
            raise InputError(
                f"{key} is of type {type(value).__name__}, not a text", where=where, fix="write it as a JSON string"
            )
        texts[key] = value or ""
    turn = values.get("turn", 0)
    if not isinstance(turn, int) or isinstance(turn, bool) or turn < 0:
        raise InputError(f"turn is {turn!r}, not a whole number from 0", where=where)
    return Row(
        id=texts["id"],
        turn=turn,
        answer=texts["answer"],
        prediction=texts["prediction"],
        case=texts["case"],
        clip=texts["clip"],
        kind=texts["kind"],
        phase=texts["phase"],
        question=texts["question"],
        scores=_scores(values.get("scores"), where),
    )


def _scores(scores: Any, where: str) -> dict[str, float]:
    if scores is None:
        return {}
    if not isinstance(scores, dict):
        raise InputError("scores is not an object of choice and number", where=where)
    for value in scores.values():
        if not isinstance(value, int | float) or isinstance(value, bool) or not math.isfinite(value):
            raise InputError(f"a score is {value!r}, not a number", where=where)
    return {choice: float(value) for choice, value in scores.items()}


def read_labels(path: Path) -> tuple[str, ...]:
    """Reads the closed set of answers, in its official order: a JSON list of texts, or one label a line.

    Raises:
        InputError: fewer than two labels, or one that is no text or occurs twice.
    """
    if files.read_text(path).lstrip().startswith("["):
        labels = files.read_json(path)
    else:
        labels = [line.strip() for line in files.read_text(path).splitlines() if line.strip()]
    wrong = next((label for label in labels if not isinstance(label, str) or not label.strip()), None)
    if wrong is not None or len(labels) < 2:
        problem = f"{wrong!r} is no label" if wrong is not None else f"{len(labels)} labels; a choice needs two"
        raise InputError(problem, where=path, fix='a JSON list of texts, ["0", "1", ...], or one label a line')
    twice = next((label for label in labels if labels.count(label) > 1), None)
    if twice is not None:
        raise InputError(f"label {twice!r} occurs twice", where=path)
    return tuple(labels)


def read_groups(path: Path) -> dict[str, str]:
    """Reads which group (a patient, a centre) each case belongs to: CSV with the columns case and group.

    Raises:
        InputError: a column is missing, a cell is empty, or a case has two groups.
    """
    groups: dict[str, str] = {}
    for row in delimited.read(path, {"case": (), "group": ()}, required=["case", "group"]).rows:
        case, group, where = row.cells["case"], row.cells["group"], f"{path}:{row.line}"
        if not case or not group:
            raise InputError("an empty case or group", where=where)
        if groups.setdefault(case, group) != group:
            raise InputError(f"case {case!r} is in two groups: {groups[case]!r} and {group!r}", where=where)
    return groups
