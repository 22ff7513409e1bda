"""How far a training is, how fast, and whether it lives: what a job writes now and then, and `make status` reads.

Needs no torch: `make status` must answer at once.
"""

from __future__ import annotations

import dataclasses
import os
from collections import deque
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from suture import files, ledger, machine

NAME = "heartbeat.json"
"""The file's name in a job's work folder."""

SCHEMA = 1
SILENCE = 60.0
"""Seconds without a beat that are no reason for doubt: saving a large model takes as long."""

State = Literal["starting", "running", "done", "stopped", "failed"]
Life = Literal["ended", "alive", "silent", "gone"]

_WINDOW = 20


@dataclass
class Pace:
    """Steps of one job and their times, on a clock that never goes back."""

    first_step: int = 0
    step: int = 0
    _times: deque[tuple[int, float]] = field(default_factory=lambda: deque(maxlen=_WINDOW + 1))
    _began: tuple[int, float] | None = None

    def begin(self, step: int, now: float) -> None:
        """Starts the clock at a step."""
        self.first_step = self.step = step
        self._began = (step, now)
        self._times.clear()
        self._times.append((step, now))

    def reach(self, step: int, now: float) -> None:
        """Notes that a step is done."""
        self.step = step
        self._times.append((step, now))

    @property
    def mean(self) -> float | None:
        """Seconds a step over the whole job; None before the first step."""
        return self._between(self._began)

    @property
    def recent(self) -> float | None:
        """Seconds a step over the last twenty."""
        return self._between(self._times[0] if self._times else None)

    def _between(self, start: tuple[int, float] | None) -> float | None:
        if start is None or self._times[-1][0] <= start[0]:
            return None
        last = self._times[-1]
        return (last[1] - start[1]) / (last[0] - start[0])


@dataclass(frozen=True, kw_only=True)
class Beat:
    """A sign of life. ``stopped``: before the last step of its segment; ``process``: see ``machine.process_started``.

    Times are UTC, ISO 8601; ``seconds_per_step`` is of the last steps, and what is left is reckoned from it.
    """

    experiment: str
    state: State
    reason: str
    first_step: int
    step: int
    until_step: int
    max_steps: int
    loss: float | None
    learning_rate: float | None
    seconds_per_step: float | None
    segment_seconds_left: float | None
    run_seconds_left: float | None
    host: str
    pid: int
    process: int | None
    slurm: dict[str, str]
    started: str
    updated: str
    schema: int = SCHEMA

    def to_json(self) -> dict[str, Any]:
        """Returns plain JSON values."""
        return dataclasses.asdict(self)

    def age(self, now: float) -> float:
        """Returns the seconds since it was written; clocks of two nodes may differ, so it is never below 0.

        Args:
            now: on ``time.time``'s clock.
        """
        return max(0.0, now - ledger.moment(self.updated))

    def life(self, now: float) -> Life:
        """Tells what the beat says of its job: it ended, it lives, it was not heard of for too long, or it is gone.

        Gone is only what ran on this host, where its process can be looked for.
        """
        if self.state in ("done", "stopped", "failed"):
            return "ended"
        if self.host == machine.host() and machine.process_started(self.pid) != self.process:
            return "gone"
        patience = max(SILENCE, 5 * (self.seconds_per_step or 0.0))
        return "silent" if self.age(now) > patience else "alive"


def here() -> dict[str, Any]:
    """Returns the fields of a beat that say which process it is of."""
    pid = os.getpid()
    return {
        "host": machine.host(),
        "pid": pid,
        "process": machine.process_started(pid),
        "slurm": machine.slurm_job(),
    }


def read(path: Path) -> Beat | None:
    """Reads a heartbeat file; None where there is none.

    Raises:
        InputError: it is no JSON.
    """
    if not path.is_file():
        return None
    row = files.read_json(path)
    names = {f.name for f in dataclasses.fields(Beat)}
    if not isinstance(row, dict) or row.get("schema") != SCHEMA or row.keys() != names:
        return None  # of another version: as good as none
    return Beat(**row)
