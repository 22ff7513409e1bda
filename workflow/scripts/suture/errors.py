"""Errors written for the person who has to act on them."""

from __future__ import annotations


class SutureError(Exception):
    """A refusal that says what is wrong, where, and the way out.

    ``str(error)`` is the whole text a user sees; commands print it and exit 2.

    Args:
        problem: what is wrong, in one line.
        where: the file, row or config key it was found at.
        fix: what to do about it.
    """

    def __init__(self, problem: str, *, where: object = None, fix: str | None = None) -> None:
        self.problem = problem
        self.where = None if where is None else str(where)
        self.fix = fix
        lines = [problem]
        if self.where:
            lines.append(f"  where: {self.where}")
        if fix:
            lines.append(f"  fix:   {fix}")
        super().__init__("\n".join(lines))


class InputError(SutureError):
    """A file or a record that cannot be used as it is."""


class ConfigError(SutureError):
    """A configuration value that cannot be used as it is."""
