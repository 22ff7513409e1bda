"""Which of a dataset's object names are anatomy and which are instruments, and the order answers give them in.

The names are the dataset's own: its adapter lists them. The order is fixed, so
that equal facts make equal answers and exact match means something.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Self

from suture.datasets.base import Adapter
from suture.errors import InputError


@dataclass(frozen=True)
class ObjectNames:
    """The canonical object names of a dataset, with their kinds; ``references`` are what places are told from."""

    kinds: dict[str, str]
    references: tuple[str, ...]

    @classmethod
    def of(cls, adapter: Adapter) -> Self:
        """Takes the names from an adapter."""
        return cls(adapter.OBJECT_KINDS, adapter.REFERENCES)

    def kind_of(self, name: str, *, where: object = None) -> str:
        """Returns ``anatomy`` or ``instruments`` for a canonical object name.

        Raises:
            InputError: the name is not in the table; the nearest known one is given.
        """
        if name not in self.kinds:
            near = difflib.get_close_matches(name, self.kinds, n=1)
            raise InputError(
                f"unknown object {name!r}" + (f"; did you mean {near[0]!r}?" if near else ""),
                where=where,
                fix=f"add it to OBJECT_KINDS of the dataset's adapter; known: {', '.join(self.kinds) or 'none'}",
            )
        return self.kinds[name]

    def in_order(self, kind: str, found: Iterable[str]) -> tuple[str, ...]:
        """Returns those of the names that are of one kind, in the order of the table, each once.

        Raises:
            InputError: a name that is not in the table.
        """
        wanted = {name for name in found if self.kind_of(name) == kind}
        return tuple(name for name in self.kinds if name in wanted)
