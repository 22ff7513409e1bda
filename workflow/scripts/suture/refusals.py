"""A refusal is remembered: no retry cures bad input, and each would wait in the queue again to say the same."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from suture import files
from suture.errors import SutureError

NOTE = "refused.txt"
"""The file in a job's work folder that holds the last refusal."""


@contextmanager
def remembered(work_dir: Path, attempt: int, *, crashes: bool = False) -> Iterator[None]:
    """Writes down a refusal of what is done inside, for the attempts that come after it.

    Args:
        work_dir: the job's folder, which all its attempts share.
        attempt: number of this attempt, from 1. The first one forgets what was refused before: something may have
            been changed since.
        crashes: remember any other exception too. On a cluster the next attempt may have a better node; where all are
            made on one machine, it would crash again.

    Raises:
        SutureError: the attempt before was refused; nothing is tried.
    """
    note = work_dir / NOTE
    if attempt > 1 and note.is_file():
        raise SutureError(f"{note.read_text()}\n(said by the attempt before; attempt {attempt} was not made)")
    note.unlink(missing_ok=True)
    try:
        yield
    except SutureError as error:
        _remember(note, str(error))
        raise
    except Exception as error:
        if crashes:
            _remember(note, f"{type(error).__name__}: {error}")
        raise


def _remember(note: Path, text: str) -> None:
    try:
        files.write_text(note, text)
    except OSError as error:  # the refusal itself is what must be seen: a full disk, for instance
        print(f"not remembered for the attempts after this one: {error}", file=sys.stderr, flush=True)
