"""Files for their owner's eyes."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager

OTHERS = 0o077
"""Everyone but a file's owner, as umask has it."""


@contextmanager
def owner_only(wanted: bool = True) -> Iterator[None]:
    """Makes files written inside readable by their owner only, from their first byte on (mode 0600)."""
    if not wanted:
        yield
        return
    before = os.umask(OTHERS)
    try:
        yield
    finally:
        os.umask(before)
