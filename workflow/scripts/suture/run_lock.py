"""One Snakemake for a run: the lock is the kernel's, so it ends with its holder, however that ended.

Snakemake's own lock is a file that a kill leaves behind, and then nobody can tell whether its holder lives.
"""

from __future__ import annotations

import atexit
import dataclasses
import fcntl
import json
import os
import re
import time
from collections import Counter
from dataclasses import dataclass
from pathlib import Path

from suture import ledger, machine
from suture.errors import SutureError

FOLDER = Path(".snakemake/suture/runs")
SNAKEMAKE_LOCKS = Path(".snakemake/locks")

_held: list[int] = []


@dataclass(frozen=True, kw_only=True)
class Holder:
    """Who makes a run.

    Attributes:
        process: see ``machine.process_started``.
        queue_name: what its jobs in the queue are called, before their Snakemake's id; empty where it queues none.
        since: UTC, ISO 8601.
    """

    host: str
    pid: int
    process: int | None
    queue_name: str
    since: str

    @property
    def token(self) -> str:
        """A text that no other process has: its jobs here carry it in their environment."""
        return f"{self.host}:{self.pid}:{self.process}"


@dataclass(frozen=True, kw_only=True)
class Taken:
    """The lock is ours, as far as the file system knows locks: ``certain``.

    ``before`` held it last and ended without a word: it was killed, or its machine went down.
    """

    me: Holder
    before: Holder | None
    certain: bool


def take(run: str, *, queue_name: str, folder: Path = FOLDER) -> Taken:
    """Takes the lock of a run for as long as this process lives.

    Raises:
        SutureError: another process has it.
    """
    pid = os.getpid()
    me = Holder(
        host=machine.host(),
        pid=pid,
        process=machine.process_started(pid),
        queue_name=queue_name,
        since=ledger.utc(time.time()),
    )
    folder.mkdir(parents=True, exist_ok=True)
    descriptor = os.open(folder / f"{run}.lock", os.O_RDWR | os.O_CREAT, 0o666)
    before = _read(descriptor)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        os.close(descriptor)
        who = f"process {before.pid} on {before.host}, since {before.since}" if before else "it has just begun"
        raise SutureError(
            f"run {run} is being made in this folder by another snakemake: {who}",
            fix="wait for it, or end it there with Ctrl-C; a run of another name can be made beside it",
        ) from None
    except OSError:
        os.close(descriptor)
        return Taken(me=me, before=None, certain=False)
    before = _read(descriptor)  # the one that had it may have ended in this moment
    _write(descriptor, json.dumps(dataclasses.asdict(me)))
    _held.append(descriptor)
    atexit.register(release)
    return Taken(me=me, before=before, certain=True)


def release() -> None:
    """Gives back what this process holds, and says that it ended as it should."""
    while _held:
        descriptor = _held.pop()
        _write(descriptor, "")
        os.close(descriptor)


def _read(descriptor: int) -> Holder | None:
    try:
        return Holder(**json.loads(os.pread(descriptor, 4096, 0)))
    except (ValueError, TypeError):
        return None


def _write(descriptor: int, text: str) -> None:
    os.ftruncate(descriptor, 0)
    os.pwrite(descriptor, text.encode(), 0)
    os.fsync(descriptor)


def forget_snakemakes_own(run: str, folder: Path = SNAKEMAKE_LOCKS) -> int:
    """Removes what Snakemake's lock left of a run whose holder is gone; returns the number of files.

    Its files list what a run reads or writes. Those of other runs in this folder stay.
    """
    mine = [path for path in folder.glob("*.lock") if _run_of(path) == run]
    for path in mine:
        path.unlink(missing_ok=True)
    return len(mine)


def _run_of(lock: Path) -> str | None:
    """The run that most of the files named in a lock are of: it may read another's models too."""
    runs = Counter(re.findall(r"(?m)^results/([^/\n]+)/", lock.read_text(encoding="utf-8", errors="replace")))
    return runs.most_common(1)[0][0] if runs else None
