"""Functions that behave as decoders do on other people's files; worker processes import them from here."""

from __future__ import annotations

import os
import re
import time
from pathlib import Path

import numpy as np


def behave(how: str) -> tuple[str, int]:
    """Returns what it was told and the process it ran in, unless it was told not to return."""
    if how == "abort":
        os.abort()
    if how == "exit":
        os._exit(3)
    if how == "hang":
        time.sleep(600)
    if how == "hang with the lock":
        hold_the_lock("")
    if how == "raise":
        raise KeyError("a fault of ours")
    if how == "gigabyte":
        np.empty(10**9, np.uint8)
    if how.startswith("slow"):
        time.sleep(0.3)
    return how, os.getpid()


def hold_the_lock(_: str) -> None:
    """Never returns, and lets no other thread of its process run: a pattern that backtracks for ever."""
    re.match(r"(a+)+$", "a" * 60 + "b")


def read_fifo(path: str) -> bytes:
    """Reads a pipe into which nobody writes: hangs in the kernel."""
    return Path(path).read_bytes()
