"""The ledger: one line for each training job, of what it ran on, how long, and how it ended.

Here are the times, hosts and job ids that no manifest holds. The file is only
ever appended to, by several jobs at once, on one node or several.
"""

from __future__ import annotations

import calendar
import contextlib
import dataclasses
import fcntl
import hashlib
import json
import os
import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from suture.redaction import redact

SCHEMA = 1
LONGEST = 4096
"""Bytes of a line, the end included. So short an append reaches a local disk in one piece."""

_UTC = "%Y-%m-%dT%H:%M:%SZ"
_PATIENCE = 30.0
_REASON = 500
_CAUSE = 150
_CAUSES = 10

Outcome = Literal["done", "early stop", "deadline", "signal", "failed", "killed"]


@dataclass(frozen=True, kw_only=True)
class Entry:
    """One training job.

    Attributes:
        segment: number of the segment in its run, from 1; None for a run that has none.
        first_step: optimiser step it began after.
        last_step: optimiser step it came to.
        until_step: optimiser step it was to come to.
        outcome: ``killed`` is written by the job that comes after one without an end.
        reason: why it ended early, or failed.
        commit: of the code; None without git.
        changed: whether the code differs from that commit.
        code: digest of the code that the command reaches.
        config: digest of the options with all defaults.
        lock: digest of requirements.lock.
        versions: of what was really installed.
        inputs: digests of base weights and manifests, by role.
        seeds: by what they are for.
        device: name of the card, or of the processor.
        gpus: number of cards, 0 on a CPU.
        seconds_per_step: mean over the optimiser steps of this job, saving and evaluating included.
        gpu_bytes: most memory that torch held on one card.
        resident_bytes: most memory of the process.
        slurm: job ids, by name.
        started: UTC, ISO 8601.
    """

    experiment: str
    segment: int | None
    first_step: int
    last_step: int
    until_step: int
    outcome: Outcome
    reason: str
    commit: str | None
    changed: bool | None
    code: str
    config: str
    lock: str | None
    versions: dict[str, str]
    inputs: dict[str, str]
    seeds: dict[str, int]
    host: str
    device: str
    gpus: int
    threads: int
    seconds_per_step: float | None
    samples_per_second: float | None
    gpu_bytes: int | None
    resident_bytes: int
    slurm: dict[str, str]
    started: str
    ended: str
    wall_seconds: float
    gpu_hours: float
    schema: int = SCHEMA


@dataclass(frozen=True, kw_only=True)
class Acceptance:
    """Somebody took stale results as they were (`make accept`), instead of making them anew.

    Attributes:
        jobs: number of jobs whose results were taken, by rule.
        causes: why they were stale, the first few.
        gpu_hours: what they had cost.
        experiments: whose results are among them.
        commit: of the code that they would have been made anew with; None without git.
        changed: whether the code differs from that commit.
    """

    jobs: dict[str, int]
    causes: list[str]
    gpu_hours: float
    experiments: list[str]
    commit: str | None
    changed: bool | None
    host: str
    when: str
    kind: Literal["accepted"] = "accepted"
    schema: int = SCHEMA


@dataclass(frozen=True, kw_only=True)
class Ledger:
    """All entries in the order written, and the numbers of lines that are none, as one cut by a full disk.

    ``acceptances`` are the lines of another kind: stale results that were taken as they were.
    """

    entries: list[Entry] = field(default_factory=list)
    acceptances: list[Acceptance] = field(default_factory=list)
    damaged: list[int] = field(default_factory=list)

    def of(self, experiment: str) -> list[Entry]:
        """Returns the entries of one experiment."""
        return [entry for entry in self.entries if entry.experiment == experiment]


def digest_of(value: Any) -> str:
    """Returns the sha256 of a plain value: options, or a list of digests."""
    return hashlib.sha256(json.dumps(value, sort_keys=True, ensure_ascii=False).encode()).hexdigest()


def utc(seconds: float) -> str:
    """Returns a moment of ``time.time``'s clock as UTC, to the second."""
    return time.strftime(_UTC, time.gmtime(seconds))


def moment(text: str) -> float:
    """Returns a moment of :func:`utc` on ``time.time``'s clock."""
    return calendar.timegm(time.strptime(text, _UTC))


def line_of(entry: Entry | Acceptance) -> bytes:
    """Returns an entry as its line: secrets and home folders taken out of the reasons, which are cut to fit."""
    if isinstance(entry, Acceptance):
        causes = [_reason(cause)[:_CAUSE] for cause in entry.causes[:_CAUSES]]
        entry = dataclasses.replace(entry, causes=causes, experiments=entry.experiments[:_CAUSES])
    else:
        entry = dataclasses.replace(entry, reason=_reason(entry.reason)[:_REASON])
    line = json.dumps(dataclasses.asdict(entry), sort_keys=True).encode() + b"\n"
    if len(line) > LONGEST:
        raise ValueError(f"a ledger entry of {len(line)} bytes: at most {LONGEST}; give digests, not what they are of")
    return line


def _reason(text: str) -> str:
    return " ".join(redact(text).split())


def append(path: Path, entry: Entry | Acceptance) -> None:
    """Adds an entry with one write at the end of the file, under a lock.

    A local disk would need no lock: short appends do not mix. Over NFS the end
    of the file is the client's opinion; taking the lock makes the client look
    again. Where a file system knows no locks, or somebody holds it for half a
    minute, the entry is written without, and said so.
    """
    line = line_of(entry)
    path.parent.mkdir(parents=True, exist_ok=True)
    descriptor = os.open(path, os.O_RDWR | os.O_APPEND | os.O_CREAT, 0o666)
    try:
        _lock(descriptor, path)
        if _is_cut(descriptor):
            line = b"\n" + line
        written = os.write(descriptor, line)
        if written != len(line):
            raise OSError(f"{written} of {len(line)} bytes of a ledger entry were written to {path}: is the disk full?")
        os.fsync(descriptor)
    finally:
        os.close(descriptor)  # gives the lock back


def _lock(descriptor: int, path: Path) -> None:
    until = time.monotonic() + _PATIENCE
    while True:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            return
        except BlockingIOError:
            if time.monotonic() > until:
                print(f"ledger {path}: locked by another process; written without its lock", file=sys.stderr)
                return
            time.sleep(0.01)
        except OSError as error:
            print(f"ledger {path}: this file system has no locks ({error.strerror}); written without", file=sys.stderr)
            return


def _is_cut(descriptor: int) -> bool:
    """Tells whether the file ends inside a line, which a job left that was killed or had no room."""
    size = os.fstat(descriptor).st_size
    return size > 0 and os.pread(descriptor, 1, size - 1) != b"\n"


def read(path: Path) -> Ledger:
    """Reads a ledger; no file is an empty one, and lines that are no entry are counted."""
    ledger = Ledger()
    content = b""
    with contextlib.suppress(FileNotFoundError):
        content = path.read_bytes()
    for number, line in enumerate(content.split(b"\n"), start=1):
        if not line.strip():
            continue
        row = _row(line)
        entry = entry_of(row)
        if isinstance(row, dict) and row.get("kind") == "accepted" and row.keys() == _ACCEPTANCE:
            ledger.acceptances.append(Acceptance(**row))
        elif entry is None:
            ledger.damaged.append(number)
        else:
            ledger.entries.append(entry)
    return ledger


def entry_of(row: Any) -> Entry | None:
    """Returns the entry that plain values stand for; None where they are of another version, or no entry."""
    names = {f.name for f in dataclasses.fields(Entry)}
    if not isinstance(row, dict) or row.get("schema") != SCHEMA or row.keys() != names:
        return None
    return Entry(**row)


def _row(line: bytes) -> Any:
    try:
        return json.loads(line)
    except ValueError:
        return None


_ACCEPTANCE = {f.name for f in dataclasses.fields(Acceptance)}


def totals(entries: Sequence[Entry]) -> Mapping[str, Any]:
    """Sums up jobs: their number, cards, steps, hours, and the peaks."""
    return {
        "jobs": len(entries),
        "unfinished": sum(entry.outcome not in ("done", "early stop") for entry in entries),
        "devices": sorted({entry.device for entry in entries}),
        "wall_hours": sum(entry.wall_seconds for entry in entries) / 3600,
        "gpu_hours": sum(entry.gpu_hours for entry in entries),
        "gpu_bytes": max((entry.gpu_bytes or 0 for entry in entries), default=0),
        "resident_bytes": max((entry.resident_bytes for entry in entries), default=0),
        "codes": sorted(
            {
                f"{entry.commit[:12]}{' changed' if entry.changed else ''}" if entry.commit else entry.code
                for entry in entries
            }
        ),
        "locks": sorted({entry.lock for entry in entries if entry.lock}),
    }
