"""A full disk, said once and clearly: whatever library ran into it, and whichever of its words it had for it."""

from __future__ import annotations

import errno
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from suture.errors import SutureError

_NUMBERS = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EFBIG})
# Libraries in other languages hand on the system's words without its number.
_WORDS = ("No space left on device", "Disk quota exceeded", "File too large", "PytorchStreamWriter failed writing")


class DiskFull(SutureError, OSError):
    """There is no room for a file. An :class:`OSError` for those to whom its file is not worth stopping."""


@contextmanager
def named(path: Path) -> Iterator[None]:
    """Has a full disk that is met inside named with the file or folder that was being written.

    Raises:
        DiskFull: no space, quota or file size is left.
    """
    try:
        yield
    except Exception as error:
        if not _is_full(error):
            raise
        raise DiskFull(
            f"there is no room left to write {path.name} ({_reason(error)})",
            where=path,
            fix="free some space (`df -h`, `quota -s`, `make clean-cache`) and start again: what is done stays done",
        ) from error


def _is_full(error: BaseException) -> bool:
    return isinstance(error, DiskFull) or (
        (isinstance(error, OSError) and error.errno in _NUMBERS) or any(word in str(error) for word in _WORDS)
    )


def _reason(error: BaseException) -> str:
    """The system's own words, from where they were first said."""
    while isinstance(error, DiskFull) and error.__cause__ is not None:
        error = error.__cause__
    if isinstance(error, OSError) and error.strerror:
        return error.strerror
    return next((word for word in _WORDS if word in str(error)), "the disk is full")
