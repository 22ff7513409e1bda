"""Jobs of a run whose Snakemake was killed: they run on, and another start would have them make everything twice."""

from __future__ import annotations

import os
import re
import shlex
import signal
import sys
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, get_args

from suture import cluster
from suture.errors import SutureError

Way = Literal["cancel", "wait"]
"""What becomes of them: cancelled, training with its progress saved; or waited for."""

MARK = "SUTURE_STARTED_BY"
"""The variable in the environment of a run's processes on this machine."""

ENDING = 600.0
"""Seconds that a cancelled job is given: SLURM's grace for the save, or the time until it gives up a dead node."""

_EVERY = 2.0
_ACTIVE = "pending,configuring,running,suspended,completing,requeued,signaling,stage_out,stopped"


@dataclass(frozen=True, kw_only=True)
class Job:
    """A job of the queue; ``what`` is its rule and wildcards as the SLURM plugin words them."""

    id: str
    state: str
    what: str


def way_of(asked: object) -> Way:
    """Reads the setting.

    Raises:
        SutureError: there is no such way.
    """
    for way in get_args(Way):
        if asked == way:
            return way  # type: ignore[no-any-return]
    raise SutureError(f"orphans={asked}: jobs of a run that was killed are dealt with by one of: cancel, wait")


def queue_name(prefix: str | None, run: str) -> str:
    """Returns what a run's jobs are called, before their Snakemake's id: the plugin takes 50 plain characters."""
    return re.sub(r"[^A-Za-z0-9_-]", "-", "-".join(filter(None, [prefix, run])))[:50]


def queued(name: str, folder: Path) -> list[Job]:
    """Returns a run's jobs that wait or run, by their name and the folder they were started in.

    Raises:
        SutureError: the queue does not answer.
    """
    code, said = cluster.ask("squeue", "--me", "-a", "-h", "-t", _ACTIVE, "-o", "%i|%T|%k|%j|%Z")
    if code:
        raise SutureError(
            f"the queue does not answer, so what runs there is not known: {said.splitlines()[-1] if said else code}",
            fix="try `squeue --me`, and start again when it answers",
        )
    rows = [line.strip().split("|", 4) for line in said.splitlines()]
    return [
        Job(id=row[0], state=row[1], what=row[2])
        for row in rows
        if len(row) == 5 and re.fullmatch(rf"{re.escape(name)}_[0-9a-f-]{{36}}", row[3]) and row[4] == str(folder)
    ]


def processes(token: str) -> list[int]:
    """Returns the processes on this machine that a run started here, not by the queue."""
    found = []
    for path in Path("/proc").glob("[0-9]*"):
        try:
            environ = (path / "environ").read_bytes().split(b"\0")
        except OSError:
            continue  # ended meanwhile, or another user's
        here = f"{MARK}={token}".encode() in environ
        if here and not any(one.startswith(b"SLURM_JOB_ID=") for one in environ) and int(path.name) != os.getpid():
            found.append(int(path.name))
    return found


def settle_queue(name: str, folder: Path, way: Way, *, certain: bool) -> None:
    """Cancels a run's jobs in the queue, or waits for them; returns when none is left.

    Args:
        certain: nobody else makes this run, so that all its jobs are orphans.

    Raises:
        SutureError: they do not end, or may not be orphans at all.
    """
    jobs = queued(name, folder)
    if not jobs:
        return
    ids = [job.id for job in jobs]
    named = ", ".join(f"{job.id} {job.what}" for job in jobs[:3]) + (", ..." if len(jobs) > 3 else "")
    if not certain:
        raise SutureError(
            f"jobs of this run are in the queue ({named}), and this file system has no locks that would "
            "say whether their snakemake still runs",
            fix=f"if it does not: scancel {' '.join(ids)}; then start again",
        )
    _say(f"jobs of a snakemake that was killed are in the queue ({named}): {_what_happens(way)}")
    if way == "cancel":
        code, said = cluster.ask("scancel", *ids)
        if code:
            raise SutureError(f"they could not be cancelled: {said}", fix=f"scancel {' '.join(ids)}; then start again")
    _await(lambda: [job.id for job in queued(name, folder)], None if way == "wait" else ENDING, "jobs")


def settle_here(token: str, way: Way) -> None:
    """Does the same with processes on this machine; what does not end when told to is killed."""
    left = processes(token)
    if not left:
        return
    _say(f"processes of a snakemake that was killed are at work here ({len(left)}): {_what_happens(way)}")
    if way == "cancel":
        _signal(left, signal.SIGTERM)
        _signal(left, signal.SIGCONT)  # one that is stopped would never see it
        try:
            _await(lambda: list(map(str, processes(token))), ENDING, "processes")
        except SutureError:
            _signal(processes(token), signal.SIGKILL)
    _await(lambda: list(map(str, processes(token))), None, "processes")


def _what_happens(way: Way) -> str:
    return "cancelled; training goes on from its last save" if way == "cancel" else "waiting for them (orphans=wait)"


def _signal(pids: Sequence[int], number: signal.Signals) -> None:
    for pid in pids:
        with suppress(ProcessLookupError):
            os.kill(pid, number)


def _await(left: Callable[[], Sequence[str]], limit: float | None, what: str) -> None:
    began = time.monotonic()
    while found := left():
        if limit is not None and time.monotonic() - began > limit:
            raise SutureError(
                f"{what} of a run that was killed do not end: {shlex.join(found)}",
                fix="ask who runs the cluster, or wait; then start again",
            )
        time.sleep(_EVERY)


def _say(text: str) -> None:
    print(text, file=sys.stderr, flush=True)
