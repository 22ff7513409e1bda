"""What the tensors of a checkpoint file do not tell of its model: said by the user, or taken as published.

A family that reads such files names it, with the published values, in a literal ``UNTOLD``.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from suture import registry
from suture.cli import Parser
from suture.delimited import nearest
from suture.errors import InputError


def add_flag(parser: Parser) -> None:
    """Adds ``--assume``."""
    known = {name: registry.literals("model family", name).get("UNTOLD") for name in registry.names("model family")}
    listed = "; ".join(f"{name}: {_words(values)}" for name, values in known.items() if values)
    parser.add_argument(
        "--assume",
        nargs="+",
        metavar="NAME=N",
        help=f"of a checkpoint file, what its tensors do not tell (as published, {listed})",
    )


def read(family: str, words: Sequence[str] | None) -> dict[str, int]:
    """Reads the values of ``--assume``, those that are given.

    Raises:
        InputError: not NAME=N, N is no number above 0, or the family has no such name.
    """
    known = registry.literals("model family", family).get("UNTOLD", {})
    told: dict[str, int] = {}
    for word in words or ():
        name, _, value = word.partition("=")
        if name not in known:
            raise InputError(
                f"--assume {word}: {name!r} is nothing that a checkpoint file of {family} leaves open"
                + nearest(name, sorted(known)),
                fix=f"one of {', '.join(known)}" if known else "leave it out",
            )
        if not value.isdecimal() or int(value) < 1:
            raise InputError(f"--assume {word}: not a whole number above 0", fix=f"e.g. {name}={known[name]}")
        told[name] = int(value)
    return told


def words(values: Mapping[str, int], told: Mapping[str, int]) -> str:
    """Says which values were assumed and which the user gave; '' without values."""
    assumed = {name: value for name, value in values.items() if name not in told}
    said = f"; as told: {_words(told)}" if told else ""
    return (f"; not in the file, assumed as published: {_words(assumed)}" if assumed else "") + said


def _words(values: Mapping[str, int]) -> str:
    return " ".join(f"{name}={value}" for name, value in values.items())
