"""One frame's questions: lines of ``question|answer``, with two, three or five fields."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from suture.datasets.ssgvqa.vocabulary import COMPLEXITIES, GENERAL, LABELS, TYPES
from suture.delimited import nearest
from suture.records import Turn

FIELDS = (2, 3, 5)
FIRST_LINES = 2
"""The first lines of a file have several answers each; the official loader leaves them out."""

MULTI_LABEL = "multi_label"
"""Kind of those lines."""

_KNOWN = frozenset(LABELS)


@dataclass(frozen=True, kw_only=True)
class Fault:
    """A line that cannot be used: its number in the file, a code, and the line a user reads."""

    line: int
    reason: str
    detail: str


def read(text: str) -> Iterator[Turn | Fault]:
    """Yields the questions of a file in its order, and what is wrong with the other lines."""
    filled = [(number, line) for number, line in enumerate(text.splitlines(), start=1) if line.strip()]
    for place, (number, line) in enumerate(filled):
        yield _read(number, line, several=place < FIRST_LINES)


def _read(number: int, line: str, *, several: bool) -> Turn | Fault:
    fields = [field.strip() for field in line.split("|")]
    if len(fields) not in FIELDS or not fields[0] or not fields[1]:
        wanted = "question|answer, with 2, 3 or 5 fields"
        return Fault(line=number, reason="malformed_line", detail=f"{line.strip()[:80]!r} is not {wanted}")
    question, answer = fields[:2]
    if several:
        return Turn(question=question, answer=answer, kind=MULTI_LABEL)
    if answer not in _KNOWN:
        detail = f"answer {answer!r} is none of the {len(LABELS)} labels{nearest(answer, LABELS)}"
        return Fault(line=number, reason="unknown_label", detail=detail)
    if len(fields) < 5:
        return Turn(question=question, answer=answer, kind=GENERAL)
    complexity, kind = fields[2].removesuffix(".json"), fields[3]
    if complexity not in COMPLEXITIES or kind not in TYPES:
        detail = f"question of complexity {fields[2]!r} and type {fields[3]!r}, which are not known"
        return Fault(line=number, reason="malformed_line", detail=detail)
    return Turn(question=question, answer=answer, kind="/".join([*TYPES[kind], complexity]))
