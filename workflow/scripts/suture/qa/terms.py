"""The names that answers may speak of, found in their texts: objects and phases, with their synonyms."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Self

from suture import vocabulary
from suture.qa.names import ObjectNames
from suture.vocabulary import Synonyms

_PHASE = "phase "
"""Written before a phase's name among other names: a phase and an instrument may be called alike."""


@dataclass(frozen=True)
class Said:
    """What a text says: names affirmed and denied, and its words in order, a name as one word.

    ``words`` are (word, None), or (name, name) where a name stands; a phase's
    name reads ``phase Incision``.
    """

    objects: frozenset[str]
    no_objects: frozenset[str]
    phases: frozenset[str]
    no_phases: frozenset[str]
    words: tuple[tuple[str, str | None], ...]

    @cached_property
    def plain(self) -> tuple[str, ...]:
        """The words that are no names."""
        return tuple(word for word, name in self.words if name is None)


class Terms:
    """The objects and phases of a dataset.

    Args:
        names: its objects.
        phases: the canonical names of its phases.
        synonyms: other names of its objects.
    """

    def __init__(self, names: ObjectNames, phases: Sequence[str], synonyms: Synonyms | None = None) -> None:
        self.names = names
        self.phases = tuple(phases)
        given = synonyms or {}
        objects = {name: tuple(given.get(name, ())) for name in names.kinds}
        stages = {f"{_PHASE}{name}": (*_stage_forms(name), name, name.replace("/", " and ")) for name in phases}
        # Of a name that both have, the first one's it is.
        self._of_phases: Mapping[str, Sequence[str]] = {**stages, **objects}
        self._of_objects: Mapping[str, Sequence[str]] = {**objects, **stages}

    @classmethod
    def of(cls, adapter: Any, names: ObjectNames) -> Self:
        """Takes phases and synonyms from a dataset's adapter, where it has them."""
        return cls(names, getattr(adapter, "PHASES", ()), getattr(adapter, "SYNONYMS", None))

    def read(self, text: str, *, of_phases: bool) -> Said:
        """Finds the names in a text; ``of_phases``: a name that is both a phase's and an object's is the phase's."""
        table = self._of_phases if of_phases else self._of_objects
        found = vocabulary.mentions(text, table)
        return Said(
            objects=_objects(found.affirmed),
            no_objects=_objects(found.negated),
            phases=_phases(found.affirmed),
            no_phases=_phases(found.negated),
            words=tuple(vocabulary.around(text, table)),
        )


def _stage_forms(name: str) -> tuple[str, ...]:
    """Returns a phase's name beside a word that says it is one: it is then no instrument that is called so."""
    spellings = dict.fromkeys((name, name.replace("/", " and ")))
    nouns = ("phase", "step", "stage")
    after = [f"{one} {noun}" for one in spellings for noun in nouns]
    before = [f"{noun} {link}{one}" for one in spellings for noun in nouns for link in ("", "of ")]
    return (*after, *before)


def _objects(names: frozenset[str]) -> frozenset[str]:
    return frozenset(name for name in names if not name.startswith(_PHASE))


def _phases(names: frozenset[str]) -> frozenset[str]:
    return frozenset(name.removeprefix(_PHASE) for name in names if name.startswith(_PHASE))
