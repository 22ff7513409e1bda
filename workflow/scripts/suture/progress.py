"""Progress bars on long work: drawn on a terminal, sparse lines in a log file."""

from __future__ import annotations

import sys
from collections.abc import Iterable, Iterator
from typing import TypeVar

from tqdm import tqdm

T = TypeVar("T")


def progress(items: Iterable[T], *, what: str, total: int | None = None, unit: str = "it") -> Iterator[T]:
    """Yields ``items`` under a progress bar on stderr.

    In a log (no terminal) the bar is redrawn at most every 30 s, so that a
    long job leaves a line now and then instead of thousands.
    """
    interval = 0.1 if sys.stderr.isatty() else 30.0
    return iter(tqdm(items, desc=what, total=total, unit=unit, mininterval=interval, dynamic_ncols=True))


def say(text: str) -> None:
    """Writes a line to stderr, beside a bar that may be drawn there."""
    tqdm.write(text, file=sys.stderr)
