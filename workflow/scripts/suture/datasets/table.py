"""Anyone's own CSV: one row a question, or a labelled stretch, of one media file.

Columns ``case`` and ``media`` are needed; ``start``, ``end`` (seconds),
``label``, ``question``, ``answer`` and ``kind`` may be there. ``media`` is
relative to the videos root. See docs/table.md.
"""

from __future__ import annotations

import math
import os
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from functools import lru_cache
from pathlib import Path

from suture import delimited, files
from suture.errors import InputError
from suture.records import Case, Rejection, Segment, Turn
from suture.windows import sanitise

SHARING = "internal"
OBJECT_KINDS: dict[str, str] = {}
REFERENCES: tuple[str, ...] = ()
UNLABELLED = "Unlabelled"
DEFAULT_KIND = "question"
COLUMNS = {
    "case": ("case_id", "patient", "patient_id", "subject", "subject_id"),
    "media": ("video", "image", "file", "path", "filename", "media_path", "video_path", "image_path"),
    "start": ("start_s", "start_sec", "start_seconds", "begin"),
    "end": ("end_s", "end_sec", "end_seconds", "stop"),
    "label": ("phase", "class"),
    "question": (),
    "answer": (),
    "kind": ("question_type", "type"),
}

_SAFE_CASE = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]*")
_WINDOWS_DRIVE = re.compile(r"[A-Za-z]:")


@dataclass(frozen=True)
class _Line:
    """One row: ``media`` is '' where it has none; ``where`` names file and row."""

    row: delimited.Row
    file: Path
    case: str
    media: str

    @property
    def where(self) -> str:
        return f"{self.file.name}:{self.row.line}"

    def cell(self, column: str) -> str:
        return self.row.cells.get(column, "")


def case_ids(root: Path) -> list[str]:
    """Lists the cases of the table, sorted.

    Raises:
        InputError: a missing, doubled or unknown column, a case id that is no
            safe file name, two that give clips of one name, a media path out of
            the videos root, one media file in two cases, or no rows at all.
    """
    return sorted(_by_case(root))


def case_files(root: Path, case: str) -> list[Path]:
    """Lists the tables that have rows of a case."""
    return sorted({line.file for line in _lines_of(root, case)})


def case_media(root: Path, videos: Path, case: str) -> list[Path]:
    """Lists the media files that the case's rows name, those that exist, sorted."""
    named = {line.media for line in _lines_of(root, case)}
    return [path for path in (files.inside(videos, media) for media in sorted(named)) if path.is_file()]


def read_case(root: Path, case: str) -> Case:
    """Reads the rows of one case: each distinct (media, start, end) is one whole segment with its turns.

    A row without start and end is about the whole file, or the image. Rejections:
    missing_media, not_a_time, missing_end, negative_time, zero_length_segment,
    reversed_segment, surplus_cells, missing_question, missing_answer,
    conflicting_label, conflicting_answer, duplicate_row.

    Raises:
        InputError: as :func:`case_ids`, or no row of this case.
    """
    rejected: list[Rejection] = []
    segments: dict[tuple[str, float, float | None], Segment] = {}
    for line in _lines_of(root, case):
        problem = _problem(line)
        if problem is None:
            start_s, end_s = _span(line)
            key = line.media, start_s, end_s
            problem = _add(segments, key, line)
        if problem is not None:
            reason, detail = problem
            rejected.append(
                Rejection(
                    stage="annotations",
                    reason=reason,
                    case=case,
                    where=line.where,
                    detail=f"{line.where}: {detail}",
                )
            )
    ordered = sorted(segments, key=lambda k: (k[0], k[1], math.inf if k[2] is None else k[2]))
    return Case(id=case, segments=tuple(segments[key] for key in ordered), rejected=tuple(rejected))


def case_digest(root: Path, case: str) -> str:
    """Returns a digest of one case's rows: all cases share the table, an edit of a row concerns one of them.

    Line numbers count only where a rejection names them.
    """
    read = read_case(root, case)
    rows = [replace(segment, row=0) for segment in read.segments]
    return files.sha256_text(repr((rows, read.rejected)))


def _problem(line: _Line) -> tuple[str, str] | None:
    """Says what makes a row unusable by itself: a code and the line a user reads."""
    start, end = line.cell("start"), line.cell("end")
    start_s, end_s = _span(line)
    question, answer = line.cell("question"), line.cell("answer")
    checks = (
        (line.row.surplus > 0, "surplus_cells", f"{line.row.surplus} cells more than columns: quote cells with commas"),
        (not line.media, "missing_media", "no media file"),
        (
            math.isnan(start_s) or (end_s is not None and math.isnan(end_s)),
            "not_a_time",
            f"from {start!r} to {end!r} s",
        ),
        (bool(start) and not end and start_s > 0, "missing_end", f"start is {start} s, end is empty"),
        (start_s < 0, "negative_time", f"start is {start} s"),
        (end_s is not None and end_s == start_s, "zero_length_segment", f"start and end are both {end} s"),
        (end_s is not None and end_s < start_s, "reversed_segment", f"end {end} s is before start {start or 0} s"),
        (bool(answer) and not question, "missing_question", f"answer {answer!r} has no question"),
        (bool(question) and not answer, "missing_answer", f"question {question!r} has no answer"),
    )
    return next(((reason, detail) for bad, reason, detail in checks if bad), None)


def _span(line: _Line) -> tuple[float, float | None]:
    start, end = line.cell("start"), line.cell("end")
    return (delimited.number(start) if start else 0.0), (delimited.number(end) if end else None)


def _add(
    segments: dict[tuple[str, float, float | None], Segment], key: tuple[str, float, float | None], line: _Line
) -> tuple[str, str] | None:
    """Adds a row to its segment, or says why it contradicts the rows before it."""
    label, question = line.cell("label"), line.cell("question")
    kind = line.cell("kind") or DEFAULT_KIND
    turn = Turn(question=question, answer=line.cell("answer"), kind=kind) if question else None
    old = segments.get(key)
    turns = old.turns if old else ()
    if old is not None:
        if label and old.published and label != old.published:
            return "conflicting_label", f"label {label!r}, but row {old.row} calls the same stretch {old.published!r}"
        for earlier in turns:
            if earlier.question == question and earlier != turn:
                return "conflicting_answer", f"{question!r} is already answered {earlier.answer!r} ({earlier.kind})"
        if turn in turns or (turn is None and label in ("", old.published)):
            return "duplicate_row", f"says nothing that the rows from {old.row} on do not say"
    published = label or (old.published if old else "")
    segments[key] = Segment(
        label=published or UNLABELLED,
        published=published,
        media=line.media,
        start_s=key[1],
        end_s=key[2],
        row=old.row if old else line.row.line,
        whole=True,
        turns=turns if turn is None else (*turns, turn),
    )
    return None


def _lines_of(root: Path, case: str) -> list[_Line]:
    by_case = _by_case(root)
    if case not in by_case:
        raise InputError(f"no row of case {case!r}{delimited.nearest(case, sorted(by_case))}", where=root)
    return by_case[case]


def _by_case(root: Path) -> dict[str, list[_Line]]:
    stats = [(path, path.stat()) for path in _tables(root)]
    return _read(tuple((str(path), stat.st_mtime_ns, stat.st_size) for path, stat in stats))


def _tables(root: Path) -> list[Path]:
    if root.is_file():
        return [root]
    found = sorted(path for path in root.glob("*") if path.suffix.lower() in (".csv", ".tsv") and path.name[0] != ".")
    if not found:
        raise InputError(
            "no table found",
            where=root,
            fix="give a CSV file, or a folder with CSV files, with the columns case and media",
        )
    return found


@lru_cache(maxsize=4)
def _read(tables: tuple[tuple[str, int, int], ...]) -> dict[str, list[_Line]]:
    """Reads all tables once for as long as they are unchanged: every case asks for its rows."""
    by_case: dict[str, list[_Line]] = {}
    for line in _checked(one for path, _, _ in tables for one in _lines(Path(path))):
        by_case.setdefault(line.case, []).append(line)
    if not by_case:
        raise InputError("no rows below the header", where=", ".join(path for path, _, _ in tables))
    return by_case


def _lines(path: Path) -> Iterator[_Line]:
    for row in delimited.read(path, COLUMNS, required=["case", "media"], strict=True).rows:
        where = f"{path}:{row.line}"
        yield _Line(row, path, _case(row.cells["case"], where), _media(row.cells["media"], where))


def _case(case: str, where: str) -> str:
    if not _SAFE_CASE.fullmatch(case):
        suggestion = re.sub(r"[^A-Za-z0-9._-]+", "_", case).strip("._-")
        raise InputError(
            f"case id {case!r} cannot be a file name" if case else "no case id",
            where=where,
            fix=f"use letters, digits, '.', '_' and '-', for example {suggestion or 'patient_01'!r}",
        )
    return case


def _media(media: str, where: str) -> str:
    posix = media.replace("\\", "/")
    normal = os.path.normpath(posix) if posix else ""
    if posix.startswith("/") or _WINDOWS_DRIVE.match(posix) or normal.split("/")[0] == "..":
        raise InputError(
            f"media {media!r} leads out of the videos folder",
            where=where,
            fix="give paths relative to the videos folder (--videos), without '..'",
        )
    return normal


def _checked(lines: Iterable[_Line]) -> Iterator[_Line]:
    """Passes rows on; refuses a media file of two cases, which no split could keep apart, and names that become one."""
    owner: dict[str, _Line] = {}
    named: dict[str, _Line] = {}
    for line in lines:
        same = named.setdefault(sanitise(line.case), line)
        if same.case != line.case:
            raise InputError(
                f"cases {same.case!r} (at {same.where}) and {line.case!r} would give their clips the same names",
                where=f"{line.file}:{line.row.line}",
                fix="they differ in '.' and '_' alone: give both rows the same case, or tell the cases apart otherwise",
            )
        first = owner.setdefault(line.media, line) if line.media else line
        if first.case != line.case:
            raise InputError(
                f"media {line.media!r} is of case {line.case!r} here and of {first.case!r} at {first.where}",
                where=f"{line.file}:{line.row.line}",
                fix="one media file belongs to one case: give both rows the same case",
            )
        yield line
