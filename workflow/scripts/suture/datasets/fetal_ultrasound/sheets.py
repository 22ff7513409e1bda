"""The publisher's spreadsheets: one a category, or one for all. A sheet is known by its header, not by its name.

- ``<Category>_image_list.xlsx``: ``Image Name``, ``Q1`` .. ``Q8``, each question in full behind a line break.
- one merged sheet: ``Folder Name``, ``Image Name``, ``Q1: Anatomical Structures`` .. and columns about the annotator.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from suture import spreadsheets
from suture.datasets.fetal_ultrasound import categories, questions
from suture.delimited import plain
from suture.errors import InputError
from suture.records import Rejection, Turn
from suture.spreadsheets import Cell, Table

STAGE = "annotations"

_LOOKED_AT = 20
"""Rows from the top among which a header is looked for: titles and notes may stand above it."""

_COLUMNS = {
    "image": frozenset({"imagename", "image", "imagefile", "imagefilename", "filename"}),
    "folder": frozenset({"foldername", "folder", "category"}),
    "patient": frozenset({"patient", "patientid", "patientno", "subject", "subjectid"}),
}
_EMPTY = frozenset({"", "-", "nan", "none", "null", "na", "n/a", "#n/a", "#ref!", "#value!", "#name?", "#div/0!"})


@dataclass(frozen=True)
class Row:
    """One image with its answers.

    ``folder`` is the category's spelling here, ``category`` its canonical
    name, ``number`` the row a person sees; ``rejected`` are its answers that cannot be used.
    """

    case: str
    category: str
    folder: str
    image: str
    file: Path
    sheet: str
    number: int
    turns: tuple[Turn, ...]
    rejected: tuple[Rejection, ...]

    @property
    def where(self) -> str:
        return place(self.file, self.sheet, self.number)


@dataclass(frozen=True)
class Sheets:
    """All rows under a root, and what of the sheets belongs to no image."""

    rows: tuple[Row, ...]
    rejected: tuple[Rejection, ...]


@dataclass(frozen=True)
class _Header:
    row: int
    columns: dict[str, int]
    questions: dict[int, tuple[str, str]]


def place(file: Path, sheet: str, number: int) -> str:
    """Names file, sheet and row."""
    return f"{file.name}, sheet {sheet}, row {number}"


def read(root: Path) -> Sheets:
    """Reads all sheets under a root that have the publisher's header.

    Raises:
        InputError: there is none, or a spreadsheet cannot be read.
    """
    found = spreadsheets.find(root)
    rows: list[Row] = []
    rejected: list[Rejection] = []
    known = False
    for path in found:
        tables = [(table, header) for table in spreadsheets.read(path) if (header := _header(table)) is not None]
        known = known or bool(tables)
        for table, header in tables:
            # Several sheets without a folder column: their titles tell the categories apart.
            default = table.title if len(tables) > 1 else categories.of_file(path.stem)
            for made in _rows(table, header, default):
                if isinstance(made, Row):
                    rows.append(made)
                else:
                    rejected.append(made)
    if not known:
        looked = f"; looked at {', '.join(path.name for path in found[:5])}" if found else ""
        raise InputError(
            f"no spreadsheet with the columns Image Name and Q1, Q2, ... found{looked}",
            where=root,
            fix="give the folder of <Category>_image_list.xlsx, or of the merged annotations",
        )
    rows = _one_spelling(rows)
    return Sheets(tuple(rows), (*rejected, *_misspelt(rows), *_awaiting(rows)))


def _header(table: Table) -> _Header | None:
    for number, row in enumerate(table.rows[:_LOOKED_AT], start=1):
        cells = [cell if isinstance(cell, str) else "" for cell in row]
        columns: dict[str, int] = {}
        asked: dict[int, tuple[str, str]] = {}
        for column, cell in enumerate(cells):
            name = next((name for name, spellings in _COLUMNS.items() if plain(cell) in spellings), None)
            if name is not None:
                columns.setdefault(name, column)
            elif (question := questions.of_header(cell)) is not None:
                asked[column] = question[1:]
        if "image" in columns and asked:
            return _Header(number, columns, asked)
    return None


def _rows(table: Table, header: _Header, default: str) -> Iterator[Row | Rejection]:
    for number, cells in enumerate(table.rows[header.row :], start=header.row + 1):
        # Forms leave rows behind with a time and a status alone: they say nothing.
        if not any(cells[at] for at in (header.columns["image"], *header.questions) if at < len(cells)):
            continue

        def text(column: str, cells: Sequence[Cell] = cells) -> str:
            at = header.columns.get(column, len(cells))
            return str(cells[at]).strip() if at < len(cells) else ""

        folder = text("folder") or default
        category, where = categories.canonical(folder), place(table.path, table.title, number)
        image = text("image").replace("\\", "/")
        if plain(image) in ("", "nan") or ".." in image.split("/"):
            problem = f"image name {image!r} leads out of its folder" if image else "a row without an image name"
            yield _rejection("missing_image_name", category, where, problem)
            continue
        patient = text("patient")
        case = categories.safe(patient) if patient else categories.case_id(category, image)
        turns, rejected = _answers(cells, header, case, where)
        yield Row(case, category, folder, image, table.path, table.title, number, turns, rejected)


def _answers(
    cells: Sequence[Cell], header: _Header, case: str, where: str
) -> tuple[tuple[Turn, ...], tuple[Rejection, ...]]:
    turns: list[Turn] = []
    rejected: list[Rejection] = []
    for column, (question, kind) in header.questions.items():
        cell = cells[column] if column < len(cells) else ""
        if not isinstance(cell, str):
            detail = f"{kind}: a date or time, {cell}: the spreadsheet program took the answer for one"
            rejected.append(_rejection("answer_is_a_date", case, where, detail))
            continue
        answer = " ".join(cell.split())
        if answer.casefold() in _EMPTY:
            rejected.append(_rejection("empty_answer", case, where, f"{kind}: no answer"))
        else:
            turns.append(Turn(question=question, answer=answer, kind=kind))
    return tuple(turns), tuple(rejected)


def _one_spelling(rows: Sequence[Row]) -> list[Row]:
    """Gives cases that differ in letter case alone one name: ``ABDOMEN_001.PNG`` is the image Abdomen_001.png."""
    first: dict[str, str] = {}
    return [replace(row, case=first.setdefault(row.case.casefold(), row.case)) for row in rows]


def _misspelt(rows: Sequence[Row]) -> list[Rejection]:
    """Reports each spelling of a category that is not its own once, with its first row. Its rows are used."""
    first: dict[tuple[Path, str, str], list[Row]] = {}
    for row in rows:
        if categories.is_misspelt(row.folder):
            first.setdefault((row.file, row.sheet, row.folder), []).append(row)
    return [
        _rejection(
            "misspelt_category",
            same[0].category,
            same[0].where,
            f"{same[0].folder!r} is read as {same[0].category!r}, in {len(same)} rows from this one on",
        )
        for same in first.values()
    ]


def _awaiting(rows: Sequence[Row]) -> list[Rejection]:
    """Reports the rows of each category that nobody has answered a question of once, with the first of them."""
    without: dict[tuple[Path, str, str], list[Row]] = {}
    for row in rows:
        if not row.turns:
            without.setdefault((row.file, row.sheet, row.category), []).append(row)
    return [
        _rejection(
            "awaiting_labels",
            same[0].category,
            same[0].where,
            f"{len(same)} rows of {same[0].category} await labels, from this one on: no question is answered",
        )
        for same in without.values()
    ]


def _rejection(reason: str, case: str, where: str, detail: str) -> Rejection:
    return Rejection(stage=STAGE, reason=reason, case=case, where=where, detail=f"{where}: {detail}")
