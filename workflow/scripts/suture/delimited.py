"""Reading the CSV files that people really have.

A byte-order mark, CRLF, columns in any order and case, extra columns, and the
separators that spreadsheet programs write (comma, semicolon, tab) are normal,
and so is Excel's first line ``sep=;`` that names one.
"""

from __future__ import annotations

import csv
import difflib
import io
import math
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from suture import files
from suture.errors import InputError

SEPARATORS = ",;\t"
_SEPARATOR_LINE = re.compile(r'"?sep=(.)"?[,;\t ]*')


@dataclass(frozen=True)
class Row:
    """One row: ``line`` is the 1-based line it ends at; ``cells`` are stripped, by canonical column name.

    ``surplus`` counts the cells beyond the header, empty ones left out: an
    unquoted separator inside a cell shifts all that follow.
    """

    line: int
    cells: Mapping[str, str]
    surplus: int


@dataclass(frozen=True)
class Table:
    """A delimited file. ``columns`` are the header's own spellings, in order."""

    path: Path
    columns: tuple[str, ...]
    rows: tuple[Row, ...]


def plain(name: str) -> str:
    """Returns a name without case, spaces, underscores, hyphens and slashes, for comparison."""
    return "".join(letter for letter in name.casefold() if letter.isalnum())


def nearest(name: str, known: Sequence[str]) -> str:
    """Returns ``; did you mean 'x'?`` for the known name closest in spelling, or nothing."""
    by_plain = {plain(one): one for one in known}
    near = difflib.get_close_matches(plain(name), list(by_plain), n=1)
    return f"; did you mean {by_plain[near[0]]!r}?" if near else ""


def read(path: Path, columns: Mapping[str, Sequence[str]], *, required: Sequence[str], strict: bool = False) -> Table:
    """Reads a delimited file with a header.

    Args:
        path: the file.
        columns: canonical column name to the other spellings accepted for it;
            case, spaces, underscores and hyphens never matter.
        required: canonical names that must be there.
        strict: refuse columns that ``columns`` does not know, instead of
            passing them over; those whose name begins with ``_`` and a
            spreadsheet's unnamed index excepted.

    Rows without a single filled cell are passed over: they say nothing.

    Raises:
        InputError: no header, a required column missing, one column given
            twice, an unknown column where ``strict``; the file is named.
    """
    text = files.read_text(path)
    named = _SEPARATOR_LINE.fullmatch(text.split("\n", 1)[0])
    top = text.split("\n", 2)[1 if named else 0 :]
    where = f"{path}:{2 if named else 1}"
    if not top or not top[0].strip():
        raise InputError("no header line", where=where, fix=f"begin with the columns {', '.join(columns)}")
    separator = named[1] if named else max(SEPARATORS, key=top[0].count)
    lines = csv.reader(io.StringIO(text), delimiter=separator)
    if named:
        next(lines)
    header = [cell.strip() for cell in next(lines)]
    names = list(_canonical(where, header, columns, required, strict))
    return Table(path, tuple(header), tuple(_rows(path, lines, names)))


def _canonical(
    where: str, header: list[str], columns: Mapping[str, Sequence[str]], required: Sequence[str], strict: bool
) -> Iterator[str | None]:
    spelling = {plain(one): name for name, others in columns.items() for one in (name, *others)}
    found: dict[str, str] = {}
    for cell in header:
        name = spelling.get(plain(cell))
        if name in found:
            raise InputError(
                f"columns {found[name]!r} and {cell!r} are both {name!r}", where=where, fix="keep one of them"
            )
        if name is not None:
            found[name] = cell
        elif strict and cell and not cell.startswith(("_", "Unnamed:")):
            raise InputError(
                f"unknown column {cell!r}{nearest(cell, list(columns))}",
                where=where,
                fix=f"columns are {', '.join(columns)}; begin the name of a column of your own with '_'",
            )
        yield name
    missing = [name for name in required if name not in found]
    if missing:
        raise InputError(
            f"column {missing[0]!r} is missing; found {', '.join(map(repr, header))}",
            where=where,
            fix=f"needed: {', '.join(required)}",
        )


def _rows(path: Path, lines: Iterator[list[str]], names: list[str | None]) -> Iterator[Row]:
    reader = lines
    while True:
        try:
            cells = [cell.strip() for cell in next(reader)]
        except StopIteration:
            return
        except csv.Error as error:
            raise InputError(f"not a CSV row: {error}", where=f"{path}:{_line(reader)}") from error
        if any(cells):
            cells += [""] * (len(names) - len(cells))
            surplus = sum(1 for cell in cells[len(names) :] if cell)
            known = {name: cell for name, cell in zip(names, cells, strict=False) if name is not None}
            yield Row(_line(reader), known, surplus)


def _line(reader: Iterator[list[str]]) -> int:
    line: int = reader.line_num  # type: ignore[attr-defined]
    return line


def number(text: str) -> float:
    """Returns a finite number, or NaN for what is none; a decimal comma is read as a point."""
    try:
        value = float(text.replace(",", "."))
    except ValueError:
        return math.nan
    return value if math.isfinite(value) else math.nan
