"""Spreadsheets as they are published: every table of a workbook as text, with the row numbers that a person sees.

Writing is for drawn data only: one table a file, strings in place ("inline
strings", as the published FADA file has them), the same bytes each time.
"""

from __future__ import annotations

import datetime
import math
import zipfile
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from xml.sax.saxutils import escape

from suture import files
from suture.errors import InputError

SUFFIXES = frozenset({".xlsx", ".xlsm", ".xlsb", ".xls", ".ods"})

Cell = str | datetime.date | datetime.datetime | datetime.time | datetime.timedelta
"""A cell: its text, or the date or time that the spreadsheet program took it for."""


@dataclass(frozen=True)
class Table:
    """One sheet of a workbook. ``rows[0]`` is row 1; all cells, stripped, numbers as text."""

    path: Path
    title: str
    rows: tuple[tuple[Cell, ...], ...]


def find(root: Path) -> list[Path]:
    """Lists the spreadsheets anywhere under a folder, or the one file given, sorted.

    Hidden files, and what is in hidden folders, are no data: ``~$x.xlsx`` is
    the lock of a file that somebody has open.
    """
    if root.is_file():
        return [root]
    return sorted(
        path
        for path in root.rglob("*")
        if path.suffix.lower() in SUFFIXES
        and path.is_file()
        and not any(part.startswith((".", "~$", "__MACOSX")) for part in path.relative_to(root).parts)
    )


def read(path: Path) -> list[Table]:
    """Reads all tables of a workbook.

    Raises:
        InputError: the file is missing, or is no spreadsheet.
    """
    # Here, not above: adapters are imported each time the Snakefile is read.
    from python_calamine import CalamineError, CalamineWorkbook

    try:
        workbook = CalamineWorkbook.from_path(str(path))
        return [
            Table(
                path,
                title,
                tuple(
                    tuple(_cell(value) for value in row)
                    for row in workbook.get_sheet_by_name(title).to_python(skip_empty_area=False)
                ),
            )
            for title in workbook.sheet_names
        ]
    except (CalamineError, OSError, zipfile.BadZipFile) as error:
        raise InputError(
            f"not a spreadsheet that can be read: {error}",
            where=path,
            fix="open it in a spreadsheet program and save it again as .xlsx",
        ) from error


def _cell(value: object) -> Cell:
    if isinstance(value, datetime.date | datetime.time | datetime.timedelta):
        return value
    if isinstance(value, float) and math.isfinite(value) and value == int(value):
        return str(int(value))
    return str(value).strip()


def write(path: Path, header: Sequence[str], rows: Iterable[Sequence[str]], *, title: str = "Sheet1") -> None:
    """Writes a table as .xlsx (ECMA-376 part 1, the least that a reader needs); empty texts are empty cells.

    Args:
        path: the file.
        header: first row; cells may have line breaks.
        rows: the others, of text.
        title: name of the sheet.
    """
    lines = [
        f'<row r="{number}">{"".join(_written(number, row))}</row>' for number, row in enumerate([header, *rows], 1)
    ]
    parts = {
        "[Content_Types].xml": (
            f'<Types xmlns="{_PACKAGE}/content-types"><Default Extension="rels" '
            'ContentType="application/vnd.openxmlformats-package.relationships+xml"/>'
            f'<Override PartName="/xl/workbook.xml" ContentType="{_TYPE}.sheet.main+xml"/>'
            f'<Override PartName="/xl/worksheets/sheet1.xml" ContentType="{_TYPE}.worksheet+xml"/></Types>'
        ),
        "_rels/.rels": _relation("officeDocument", "xl/workbook.xml"),
        "xl/workbook.xml": (
            f'<workbook xmlns="{_MAIN}" xmlns:r="{_RELATIONS}"><sheets>'
            f'<sheet name="{escape(title)}" sheetId="1" r:id="rId1"/></sheets></workbook>'
        ),
        "xl/_rels/workbook.xml.rels": _relation("worksheet", "worksheets/sheet1.xml"),
        "xl/worksheets/sheet1.xml": f'<worksheet xmlns="{_MAIN}"><sheetData>{"".join(lines)}</sheetData></worksheet>',
    }
    with files.atomic_path(path) as temporary, zipfile.ZipFile(temporary, "w") as archive:
        for name, text in parts.items():
            # A fixed date: the archive is a function of its content.
            entry = zipfile.ZipInfo(name, date_time=(1980, 1, 1, 0, 0, 0))
            entry.compress_type = zipfile.ZIP_DEFLATED
            archive.writestr(entry, '<?xml version="1.0" encoding="UTF-8" standalone="yes"?>\n' + text)


_FORMATS = "http://schemas.openxmlformats.org"
_MAIN = f"{_FORMATS}/spreadsheetml/2006/main"
_RELATIONS = f"{_FORMATS}/officeDocument/2006/relationships"
_PACKAGE = f"{_FORMATS}/package/2006"
_TYPE = "application/vnd.openxmlformats-officedocument.spreadsheetml"


def _relation(kind: str, target: str) -> str:
    return (
        f'<Relationships xmlns="{_PACKAGE}/relationships">'
        f'<Relationship Id="rId1" Type="{_RELATIONS}/{kind}" Target="{target}"/></Relationships>'
    )


def _written(number: int, row: Sequence[str]) -> Iterator[str]:
    for column, text in enumerate(row):
        if text:
            place = f"{_letters(column)}{number}"
            yield f'<c r="{place}" t="inlineStr"><is><t xml:space="preserve">{escape(text)}</t></is></c>'


def _letters(column: int) -> str:
    """Names a column, counted from 0: A to Z, then AA."""
    before, last = divmod(column, 26)
    return (_letters(before - 1) if before else "") + chr(ord("A") + last)
