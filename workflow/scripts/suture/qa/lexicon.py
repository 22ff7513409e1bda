"""The word lists of the gate, read from ``gate_words.txt``."""

from __future__ import annotations

import re
from functools import cache
from pathlib import Path

_SECTION = re.compile(r"\[(\w+)\]")


@cache
def _sections() -> dict[str, str]:
    found: dict[str, list[str]] = {}
    name = ""
    for line in (Path(__file__).parent / "gate_words.txt").read_text(encoding="utf-8").splitlines():
        if match := _SECTION.fullmatch(line.strip()):
            name = match[1]
        elif line.strip() and not line.startswith("#"):
            found.setdefault(name, []).append(line.strip())
    return {name: "\n".join(lines) for name, lines in found.items()}


@cache
def words(section: str) -> frozenset[str]:
    """Returns the words of a section."""
    return frozenset(_sections()[section].split())


@cache
def phrases(section: str) -> tuple[str, ...]:
    """Returns the phrases of a section that are divided by bars and line ends."""
    return tuple(re.split(r"[|\n]", _sections()[section]))


@cache
def sides() -> dict[str, str]:
    """Returns the side that each word for a place names."""
    return dict(word.split("=") for word in _sections()["spatial"].split())
