"""What a job used: time, CPU, memory, disk and GPUs, as the last line of its log.

Snakemake's own benchmark looks at a process each half second for 15 s, then each 30 s, and not at its end: of two
processes that work for 40 s it counts 30 s of 80 s. So a command counts itself, when it ends, by what the kernel kept;
what cannot be counted afterwards, its GPUs, is looked at meanwhile (suture.gpu_watch).
"""

from __future__ import annotations

import atexit
import dataclasses
import json
import os
import resource
import sys
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from suture.gpu_watch import Card, GpuWatch

MARK = "used: "
"""Begins the line."""

ASKED = "SUTURE_SAY_USED"
"""Set by the Snakefile for the commands of its jobs. One who types a command has not asked."""

_TAIL = 16384
"""Bytes at the end of a log in which the line is looked for; what libraries say as they end may follow it."""


@dataclass(frozen=True, kw_only=True)
class Usage:
    """What one job used.

    Attributes:
        seconds: from the start of its process.
        cpu_seconds: of it and of all processes that it waited for.
        peak_bytes: most memory of it, or of the largest process that it waited for; not their sum.
        read_bytes: from disk or network; what was in the page cache is not counted. None where nobody counts.
        written_bytes: to disk or network.
        cards: its GPUs; empty where it has none, or nobody looked.
    """

    seconds: float
    cpu_seconds: float
    peak_bytes: int
    read_bytes: int | None
    written_bytes: int | None
    cards: list[Card] = field(default_factory=list)

    def line(self) -> str:
        """Returns it as the line of a log."""
        return MARK + json.dumps(dataclasses.asdict(self), sort_keys=True)


class Meter:
    """Counts from the start of a command to the end of its process.

    Args:
        gpus: whether the command works on GPUs.
    """

    def __init__(self, *, gpus: bool) -> None:
        self._began = time.monotonic() - _seconds_since_start()
        self._watch = GpuWatch.start() if gpus else None
        self._wanted = False
        # Now, so that it is done last: the libraries of a command end their own processes at exit, which counts.
        atexit.register(self._end)

    def finish(self) -> None:
        """Has the line written when the process ends. Where it fails, its error is to stand last."""
        self._wanted = True

    def _end(self) -> None:
        cards = self._watch.stop() if self._watch else []
        if self._wanted:
            print(measure(self._began, cards).line(), file=sys.stderr, flush=True)


def meter(*, gpus: bool) -> Meter | None:
    """Starts counting where a job asked for it; only the first of several processes of a training says what it used."""
    if os.environ.pop(ASKED, None) is None or os.environ.get("RANK", "0") != "0":
        return None
    return Meter(gpus=gpus)


def measure(began: float, cards: list[Card]) -> Usage:
    """Returns what this process and those that it waited for used since ``began`` (``time.monotonic``)."""
    own, others = resource.getrusage(resource.RUSAGE_SELF), resource.getrusage(resource.RUSAGE_CHILDREN)
    unit = 1 if sys.platform == "darwin" else 1024  # getrusage(2): kilobytes on Linux
    read, written = _disk()
    return Usage(
        seconds=round(time.monotonic() - began, 2),
        cpu_seconds=round(own.ru_utime + own.ru_stime + others.ru_utime + others.ru_stime, 2),
        peak_bytes=max(own.ru_maxrss, others.ru_maxrss) * unit,
        read_bytes=read,
        written_bytes=written,
        cards=cards,
    )


def _seconds_since_start() -> float:
    """Returns how long this process runs already: its imports count. Source: proc(5), fields 22 of ``stat``."""
    try:
        ticks = int(Path("/proc/self/stat").read_text().rpartition(")")[2].split()[19])
    except OSError:
        return 0.0
    return max(0.0, time.clock_gettime(time.CLOCK_BOOTTIME) - ticks / os.sysconf("SC_CLK_TCK"))


def _disk() -> tuple[int | None, int | None]:
    """Returns bytes read and written, those of ended children included. Source: proc(5), ``io``."""
    try:
        rows = dict(line.split(": ") for line in Path("/proc/self/io").read_text().splitlines())
    except OSError:
        return None, None  # another system, or a container that hides it
    return int(rows["read_bytes"]), int(rows["write_bytes"])


def read(log: Path) -> Usage | None:
    """Reads what a job used from its log; None where it says nothing: it failed, runs yet, or is an older one."""
    with log.open("rb") as handle:
        size = handle.seek(0, os.SEEK_END)
        handle.seek(max(0, size - _TAIL))
        lines = handle.read().decode("utf-8", errors="replace").splitlines()
    row: dict[str, Any] = {}
    for line in lines:
        if line.startswith(MARK):
            try:
                row = json.loads(line.removeprefix(MARK))
            except json.JSONDecodeError:
                row = {}  # cut by a full disk
    if row.keys() != {one.name for one in dataclasses.fields(Usage)}:
        return None
    return Usage(**{**row, "cards": [Card(**card) for card in row["cards"]]})
