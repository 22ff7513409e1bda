"""Which object names are anatomy and which are instruments, and the order answers give them in.

A dataset with other objects adds its canonical names here. The order is fixed,
so that equal facts make equal answers and exact match means something.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterable

from suture.errors import InputError

ANATOMY = ("Cornea", "Pupil", "Lens")
INSTRUMENTS = (
    "Slit Knife",
    "Incision Knife",
    "Gauge",
    "Capsulorhexis Cystotome",
    "Capsulorhexis Forceps",
    "Katena Forceps",
    "Spatula",
    "Phacoemulsification Tip",
    "Irrigation-Aspiration",
    "Lens Injector",
)
BY_KIND = {"anatomy": ANATOMY, "instruments": INSTRUMENTS}

_KIND = {name: kind for kind, names in BY_KIND.items() for name in names}


def kind_of(name: str, *, where: object = None) -> str:
    """Returns ``anatomy`` or ``instruments`` for a canonical object name.

    Raises:
        InputError: the name is in neither table; the nearest known one is given.
    """
    if name not in _KIND:
        near = difflib.get_close_matches(name, _KIND, n=1)
        raise InputError(
            f"unknown object {name!r}" + (f"; did you mean {near[0]!r}?" if near else ""),
            where=where,
            fix=f"add it to ANATOMY or INSTRUMENTS in suture/qa/names.py; known: {', '.join(_KIND)}",
        )
    return _KIND[name]


def in_order(kind: str, names: Iterable[str]) -> tuple[str, ...]:
    """Returns the distinct names of one kind in the order of the table.

    Raises:
        InputError: a name that is not of this kind.
    """
    wanted = set(names)
    strangers = sorted(name for name in wanted if kind_of(name) != kind)
    if strangers:
        raise InputError(f"{strangers[0]!r} does not belong to the kind {kind!r}", fix="see suture/qa/names.py")
    return tuple(name for name in BY_KIND[kind] if name in wanted)
