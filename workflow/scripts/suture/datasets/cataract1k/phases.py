"""The phase CSVs of Cataract-1K.

Only ``sec`` and ``endSec`` are read: the frame columns count in the rate of
another file than the one released (case_4863 says 240 frames a second).
"""

from __future__ import annotations

import math
from pathlib import Path

from suture import delimited
from suture.datasets.cataract1k import layout
from suture.errors import InputError
from suture.records import Rejection, Segment

IDLE = "idle"
PHASES = (
    "Incision",
    "Viscoelastic",
    "Capsulorhexis",
    "Hydrodissection",
    "Phacoemulsification",
    "Irrigation/Aspiration",
    "Capsule Polishing",
    "Lens Implantation",
    "Lens Positioning",
    "Viscoelastic Suction",
    "Anterior Chamber Flushing",
    "Tonifying/Antibiotics",
    IDLE,
)

_COLUMNS = {"caseId": ("case",), "comment": ("phase",), "sec": ("start_sec",), "endSec": ()}
_SPELLINGS = {delimited.plain(name): name for name in (*PHASES,)} | {"capsulepulishing": "Capsule Polishing"}
# Phases are annotated to a frame; the publisher rounds by up to this much.
_ROUNDING_S = 0.05


def canonical(published: str) -> str | None:
    """Returns the canonical name of a phase, whatever its case, separators and known misspelling; or None."""
    return _SPELLINGS.get(delimited.plain(published))


def read(root: Path, path: Path, case: str) -> tuple[tuple[Segment, ...], list[Rejection]]:
    """Reads the phases of a case, in order of time.

    A row of no length (one in the release) stays a segment: the published clips
    count it. Rows that cannot be a stretch of the video are rejections:
    missing_label, not_a_time, negative_time, reversed_segment, other_case,
    surplus_cells, duplicate_segment, overlapping_segment (the later of two).

    Raises:
        InputError: a missing column, an unknown phase, a file of another case.
    """
    table = delimited.read(path, _COLUMNS, required=["comment", "sec", "endSec"])
    shown = layout.shown(root, path)
    rejected: list[Rejection] = []
    segments: list[Segment] = []

    def reject(row: delimited.Row, reason: str, detail: str) -> None:
        where = f"{shown}:{row.line}"
        rejected.append(
            Rejection(stage="annotations", reason=reason, case=case, where=where, detail=f"{where}: {detail}")
        )

    _check_case(path, table, case)
    for row in table.rows:
        published, start, end = row.cells["comment"], row.cells["sec"], row.cells["endSec"]
        start_s, end_s = delimited.number(start), delimited.number(end)
        if row.surplus:
            reject(row, "surplus_cells", f"{row.surplus} cells more than the header has columns")
        elif _other_case(row, case):
            reject(row, "other_case", f"the row is of case {row.cells['caseId']!r}, the file of {case}")
        elif not published:
            reject(row, "missing_label", "no phase name")
        elif math.isnan(start_s) or math.isnan(end_s):
            reject(row, "not_a_time", f"{published} from {start or 'nothing'} to {end or 'nothing'} s")
        elif start_s < 0:
            reject(row, "negative_time", f"{published} starts at {start} s")
        elif end_s < start_s:
            reject(row, "reversed_segment", f"{published} ends at {end} s, before its start at {start} s")
        else:
            label = _label(path, row.line, published)
            segments.append(
                Segment(
                    label=label,
                    published=published,
                    media=f"{case}.mp4",
                    start_s=start_s,
                    end_s=end_s,
                    row=row.line,
                )
            )
    kept, overlapping = _without_overlap(segments, case, shown)
    if not table.rows:
        detail = f"{shown}: no phase rows"
        rejected.append(Rejection(stage="annotations", reason="no_phases", case=case, where=shown, detail=detail))
    return kept, rejected + overlapping


def _label(path: Path, line: int, published: str) -> str:
    label = canonical(published)
    if label is None:
        raise InputError(
            f"unknown phase {published!r}{delimited.nearest(published, PHASES)}",
            where=f"{path}:{line}",
            fix=f"phases: {', '.join(PHASES)}",
        )
    return label


def _other_case(row: delimited.Row, case: str) -> bool:
    # A spreadsheet or pandas may have made 4687.0 of 4687, and 12 of 0012.
    number = delimited.plain(row.cells.get("caseId", "").removesuffix(".0")).removeprefix("case")
    return number != "" and number.lstrip("0") != case.removeprefix("case_").lstrip("0")


def _check_case(path: Path, table: delimited.Table, case: str) -> None:
    if table.rows and all(_other_case(row, case) for row in table.rows):
        raise InputError(
            f"every row is of case {table.rows[0].cells['caseId']!r}, not of {case}",
            where=path,
            fix="move the file to the folder of its own case",
        )


def _without_overlap(segments: list[Segment], case: str, shown: str) -> tuple[tuple[Segment, ...], list[Rejection]]:
    """Keeps segments in order of time; of two that overlap the earlier one."""
    kept: list[Segment] = []
    rejected: list[Rejection] = []
    last: Segment | None = None
    for one in sorted(segments, key=lambda s: (s.start_s, s.end_s, s.row)):
        if last is not None and last.end_s is not None and one.start_s < last.end_s - _ROUNDING_S:
            same = (one.label, one.start_s, one.end_s) == (last.label, last.start_s, last.end_s)
            reason = "duplicate_segment" if same else "overlapping_segment"
            where = f"{shown}:{one.row}"
            detail = (
                f"{where}: {one.published} {one.start_s:g} to {one.end_s:g} s "
                f"{'repeats' if same else 'overlaps'} row {last.row}, {last.published} to {last.end_s:g} s"
            )
            rejected.append(Rejection(stage="annotations", reason=reason, case=case, where=where, detail=detail))
            continue
        kept.append(one)
        last = one
    return tuple(kept), rejected
