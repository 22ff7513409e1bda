"""Findings as lines: a status, a group, what is said, and below it the cure."""

from __future__ import annotations

import textwrap

from suture.checks.base import Finding

WIDTH = 100


def lines(group: str, finding: Finding) -> list[str]:
    """Words a finding: its status, its group, what it says, and below it the cure."""
    head = f"{finding.status}  {group:<14}"
    indent = " " * len(head)
    said = [part for line in finding.says.splitlines() for part in (_wrap(line, "") or [""])]
    cure = [part for line in finding.cure.splitlines() for part in _wrap(line, "-> ")]
    return [f"{head}{said[0]}", *(indent + line for line in [*said[1:], *cure])]


def _wrap(text: str, mark: str) -> list[str]:
    return textwrap.wrap(
        text,
        WIDTH - 20,
        initial_indent=mark,
        subsequent_indent=" " * len(mark),
        break_on_hyphens=False,
        break_long_words=False,
    )
