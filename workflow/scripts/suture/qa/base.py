"""What a question-writing back end is given, and what it gives back."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

from suture.records import Turn

KINDS = ("phase", "anatomy", "instruments", "spatial")
"""The kinds of question in the published order: question1 asks for the phase, and so on."""

MORE_KINDS = ("order", "counts")
"""Asked on request: which phase came before, and how many kinds of instrument are in sight."""

ALL_KINDS = KINDS + MORE_KINDS


@dataclass(frozen=True, kw_only=True)
class Relations:
    """Where the instruments of a clip lie as seen from one structure.

    ``directions`` are (instrument, direction) pairs in the order of the name
    table; a direction is one of ``spatial.DIRECTIONS``.
    """

    reference: str
    directions: tuple[tuple[str, str], ...]


@dataclass(frozen=True, kw_only=True)
class Facts:
    """What the annotation says about one clip; nothing else may be said of it.

    Names are canonical and in the order of the name table. ``relations`` is
    None where they were not asked for or the annotation does not settle them.
    ``before`` is the phase that came before this one, empty where this is the
    first of its case, and None where it was not asked for.
    """

    clip: str
    case: str
    phase: str
    anatomy: tuple[str, ...]
    instruments: tuple[str, ...]
    relations: Relations | None = None
    before: str | None = None

    def kinds(self, asked: Sequence[str]) -> tuple[str, ...]:
        """Returns which of the kinds these facts can answer, in the order of :data:`ALL_KINDS`."""
        unsettled = {"spatial"} if self.relations is None else set()
        unsettled |= {"order"} if self.before is None else set()
        return tuple(kind for kind in ALL_KINDS if kind in asked and kind not in unsettled)


class Backend(Protocol):
    """Words facts as questions and answers; adds none of its own."""

    ORIGIN: str
    """The ``origin`` of its samples: template or llm."""

    def write(self, facts: Facts) -> tuple[Turn, ...]:
        """Writes the turns about one clip, in the order of ``ALL_KINDS``."""
        ...
