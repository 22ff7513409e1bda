"""corrections.csv: what a reviewer says of single answers, and what is done about it.

One row is one verdict on one turn of one sample: accept changes nothing, fix
puts another question or answer in its place, reject drops the turn.
"""

from __future__ import annotations

import dataclasses
from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, cast, get_args

from suture import delimited
from suture.errors import InputError
from suture.files import sha256_text
from suture.records import Rejection, Sample, Turn

Verdict = Literal["accept", "fix", "reject"]

COLUMNS = ("case", "id", "turn", "verdict", "question", "answer", "reviewer", "note")
STAGE = "review"
REJECTED = "rejected_by_reviewer"
AGAIN = "review the samples as they are now: make review"


@dataclass(frozen=True, kw_only=True)
class Correction:
    """One row: ``where`` it stands (file:line), ``turn`` from 0.

    ``question`` and ``answer`` are the new texts of a fix, and what was read
    where the verdict is another; empty where the row does not say.
    """

    where: str
    case: str
    id: str
    turn: int
    verdict: Verdict
    question: str
    answer: str
    reviewer: str
    note: str

    @property
    def place(self) -> tuple[str, int]:
        """What the verdict is about."""
        return self.id, self.turn


def read(paths: Iterable[Path]) -> list[Correction]:
    """Reads files of corrections; rows without a verdict are answers that nobody judged.

    Raises:
        InputError: a row is not one, or two rows say different things of one turn; file and line are named.
    """
    first: dict[tuple[str, int], Correction] = {}
    said: list[Correction] = []
    for path in paths:
        table = delimited.read(path, dict.fromkeys(COLUMNS, ()), required=["case", "id", "turn", "verdict"])
        for row in table.rows:
            if not row.cells["verdict"]:
                continue
            one = _correction(row, where=f"{path}:{row.line}")
            other = first.setdefault(one.place, one)
            if _says(other) != _says(one):
                raise InputError(
                    f"{other.verdict!r} and {one.verdict!r} of {one.id!r}, turn {one.turn}"
                    + (", with other texts" if other.verdict == one.verdict else ""),
                    where=f"{other.where}, {one.where}",
                    fix="agree on one of them and delete the other row",
                )
            said.append(one)
    return said


def _says(one: Correction) -> tuple[str, ...]:
    return (one.verdict, one.question, one.answer) if one.verdict == "fix" else (one.verdict,)


def _correction(row: delimited.Row, *, where: str) -> Correction:
    cells = row.cells
    verdict = cells["verdict"].casefold()
    if verdict not in get_args(Verdict):
        raise InputError(
            f"verdict {cells['verdict']!r}{delimited.nearest(verdict, get_args(Verdict))}",
            where=where,
            fix="accept, fix or reject; empty where nobody judged",
        )
    if not cells["turn"].isdecimal():
        raise InputError(f"turn {cells['turn']!r} is not a number from 0", where=where, fix="0 is the first question")
    if row.surplus:
        raise InputError(
            f"{row.surplus} cells more than the header has", where=where, fix='put a text with separators in quotes: "'
        )
    if verdict == "fix" and not cells.get("answer"):
        raise InputError("a fix without an answer", where=where, fix="give the right answer, or reject")
    return Correction(
        where=where,
        case=cells["case"],
        id=cells["id"],
        turn=int(cells["turn"]),
        verdict=cast(Verdict, verdict),
        question=cells.get("question", ""),
        answer=cells.get("answer", ""),
        reviewer=cells.get("reviewer", ""),
        note=cells.get("note", ""),
    )


def effective(found: Iterable[Correction]) -> dict[str, list[Correction]]:
    """Returns the rows that change something, by case: an accepted answer makes nothing stale."""
    by_case: dict[str, list[Correction]] = defaultdict(list)
    for one in found:
        if one.verdict != "accept":
            by_case[one.case].append(one)
    return dict(by_case)


def check_cases(found: Iterable[Correction], cases: Iterable[str]) -> None:
    """Refuses a correction of a case that the run has not.

    Raises:
        InputError: naming the first.
    """
    known = list(cases)
    for one in found:
        if one.case not in known:
            raise InputError(
                f"there is no case {one.case!r} in this run{delimited.nearest(one.case, known)}",
                where=one.where,
                fix="is this the corrections file of another run?",
            )


def digest_of(found: Iterable[Correction]) -> str:
    """Returns the sha256 of what these rows change: neither their order nor notes, reviewers and lines count."""
    said = sorted((one.case, one.id, one.turn, *_says(one)) for one in found)
    return sha256_text(repr(sorted(set(said))))


def turn_of(one: Correction, samples: dict[str, Sample]) -> Turn:
    """Finds what a correction is about.

    Raises:
        InputError: there is no such sample, or turn, or it is of another case.
    """
    sample = samples.get(one.id)
    if sample is None or sample.case != one.case:
        other = f"; it is of case {sample.case!r}" if sample else delimited.nearest(one.id, sorted(samples))
        raise InputError(f"case {one.case!r} has no sample {one.id!r}{other}", where=one.where, fix=AGAIN)
    if one.turn >= len(sample.turns):
        raise InputError(
            f"sample {one.id!r} has {len(sample.turns)} turns, from 0; there is no turn {one.turn}",
            where=one.where,
            fix=AGAIN,
        )
    return sample.turns[one.turn]


def reads_otherwise(one: Correction, turn: Turn) -> bool:
    """Whether the reviewer judged other words than stand there now; a fix does not say what it was made for."""
    if one.verdict == "fix":
        return False
    return (one.question not in ("", _cell(turn.question))) or (one.answer not in ("", _cell(turn.answer)))


def _cell(text: str) -> str:
    # A table's cells are stripped when they are read.
    return text.strip()


def apply(samples: Sequence[Sample], found: Iterable[Correction]) -> tuple[list[Sample], list[Rejection]]:
    """Returns the corrected samples, in their order, and what was dropped.

    A sample without a turn left is dropped as well.

    Raises:
        InputError: a correction is about nothing here, or rejects words that no longer stand there.
    """
    known = {sample.id: sample for sample in samples}
    changes: dict[tuple[str, int], Correction] = {}
    for one in found:
        turn = turn_of(one, known)
        if reads_otherwise(one, turn):
            raise InputError(
                f"{one.id!r}, turn {one.turn}, reads otherwise now than when it was rejected",
                where=one.where,
                fix=AGAIN,
            )
        changes[one.place] = one
    kept, dropped = [], []
    for sample in samples:
        turns = []
        for number, turn in enumerate(sample.turns):
            change = changes.get((sample.id, number))
            if change is None or change.verdict == "accept":
                turns.append(turn)
            elif change.verdict == "fix":
                turns.append(dataclasses.replace(turn, question=change.question or turn.question, answer=change.answer))
            else:
                dropped.append(_rejection(sample, number, change))
        if turns:
            kept.append(dataclasses.replace(sample, turns=tuple(turns)))
    return kept, dropped


def _rejection(sample: Sample, number: int, change: Correction) -> Rejection:
    detail = f"{sample.id}, turn {number}: rejected in the review" + (f": {change.note}" if change.note else "")
    return Rejection(stage=STAGE, reason=REJECTED, case=sample.case, where=Path(change.where).name, detail=detail)
