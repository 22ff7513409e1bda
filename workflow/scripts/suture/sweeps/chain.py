"""What a job of a sweep does: the rules of one point, from its training to its score, by Snakemake.

The same rules as those of a run make a point, so that training, resuming,
scores and ledger are the same, and Snakemake knows what is done and what is
stale. This module is imported in the job: nothing heavy.
"""

from __future__ import annotations

import fcntl
import json
import os
import re
import signal
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import submitit
from submitit.helpers import DelayedSubmission

from suture import files, ledger, machine
from suture.ledger import Outcome

POLL = 1.0
"""Seconds between two looks at the work."""

PATIENCE = 120.0
"""Seconds that training is given to save when it is stopped; a queue gives less."""


@dataclass(frozen=True, kw_only=True)
class Ended:
    """How a job ended: the point is ``done``, it was ``interrupted`` and can go on, or it ``failed``."""

    state: Literal["done", "interrupted", "failed"]
    reason: str = ""


@dataclass(frozen=True, kw_only=True)
class Chain:
    """One point's job, as submitit pickles it.

    Attributes:
        point: its name.
        digest: of its settings.
        runs: names under which it is trained.
        command: Snakemake with the files that the point is.
        folder: project root, where that runs.
        lock: file that is locked while the point is made, by whom is written in it.
        log: file that gets what Snakemake says.
        ledger: the run's.
        minutes: after which the queue ends the job; None: it does not.
        cards: ``CUDA_VISIBLE_DEVICES`` where the sweep was started; None: not set. submitit hides all cards from local
            jobs that ask for none.
        local: whether the job runs where the sweep was started.
    """

    point: str
    digest: str
    runs: tuple[str, ...]
    command: tuple[str, ...]
    folder: Path
    lock: Path
    log: Path
    ledger: Path
    minutes: float | None
    cards: str | None
    local: bool

    def __call__(self) -> Ended:
        """Makes the point."""
        with held(self.lock, self.digest) as lock:
            began = self.ledger.stat().st_size if self.ledger.is_file() else 0
            with self.log.open("ab") as log:
                child = subprocess.Popen(
                    self.command,
                    cwd=self.folder,
                    env=self._environment(),
                    stdin=subprocess.DEVNULL,
                    stdout=log,
                    stderr=subprocess.STDOUT,
                    # A process group of its own: what stops the point stops all of it, and Ctrl-C is for the sweep.
                    start_new_session=True,
                    # Snakemake keeps the lock where it outlives this process.
                    pass_fds=(lock,),
                    preexec_fn=_deaf,
                )
            _note(lock, self.digest, group=child.pid)
            try:
                self._watch(child, began)
            except BaseException:
                stop(child.pid)
                child.wait()
                raise
            outcome = self._outcome(began)
            if child.returncode == 0:
                return Ended(state="done")
            if outcome == "deadline":
                _again()
                return Ended(state="interrupted", reason="its time was over")
            if outcome == "signal":
                return Ended(state="interrupted", reason="it was told to stop")
            return Ended(state="failed", reason=_last_words(self.log))

    def _watch(self, child: subprocess.Popen[bytes], began: int) -> None:
        stopping = False
        while child.poll() is None:
            time.sleep(POLL)
            # Snakemake would try again, in what is left of the same job.
            if not stopping and self._outcome(began) == "deadline":
                stopping = True
                stop(child.pid)

    def checkpoint(self) -> DelayedSubmission:
        """Called by submitit when the queue is about to end the job: saves, and asks to be queued again."""
        note = read_note(self.lock)
        if note and note.group:
            stop(note.group)
            until = time.monotonic() + PATIENCE
            while _lives(note.group) and time.monotonic() < until:
                time.sleep(0.2)
        return DelayedSubmission(self)

    def _environment(self) -> dict[str, str]:
        env = {name: value for name, value in os.environ.items() if name not in ("PYTHONPATH", "SUTURE_JOB_STARTED")}
        # Confirmed where the sweep was started.
        env["SUTURE_CONFIRM"] = "yes"
        if self.minutes is not None:
            env["SUTURE_JOB_STARTED"] = str(int(time.time()))
        if self.local:
            env.pop("CUDA_VISIBLE_DEVICES", None)
            env |= {"CUDA_VISIBLE_DEVICES": self.cards} if self.cards is not None else {}
        return env

    def _outcome(self, began: int) -> Outcome | None:
        """Returns how the last training of this job ended; None where none did."""
        if not self.ledger.is_file():
            return None
        with self.ledger.open("rb") as handle:
            handle.seek(began)
            lines = handle.read().split(b"\n")[:-1]
        entries = filter(None, (ledger.entry_of(json.loads(line)) for line in lines if line.startswith(b"{")))
        mine = [one for one in entries if re.sub(r"\.blind$", "", one.experiment) in self.runs]
        return mine[-1].outcome if mine else None


def _deaf() -> None:
    """Takes submitit's signal from Snakemake and all below it: the queue sends it to every process of the job."""
    signal.signal(submitit.JobEnvironment._usr_sig(), signal.SIG_IGN)


def _again() -> None:
    """Has submitit put this job into the queue again, under its id, as it does before a time limit; else returns."""
    if signal.getsignal(signum := submitit.JobEnvironment._usr_sig()) not in (signal.SIG_DFL, signal.SIG_IGN, None):
        signal.raise_signal(signum)


@dataclass(frozen=True, kw_only=True)
class Note:
    """Who makes a point: the process group of its work, 0 before that begins, and the digest of the settings."""

    host: str
    group: int
    digest: str


@contextmanager
def held(path: Path, digest: str) -> Iterator[int]:
    """Holds a point's lock, for which it waits; a file system that knows no locks gives none.

    Gives the file's descriptor. A child that inherits it holds the lock too.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT, 0o666)
    try:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX)
        except OSError as error:
            print(f"{path}: this file system has no locks ({error.strerror})", flush=True)
        _note(descriptor, digest, group=0)
        yield descriptor
    finally:
        os.close(descriptor)


def _note(descriptor: int, digest: str, *, group: int) -> None:
    text = json.dumps({"host": machine.host(), "group": group, "digest": digest}).encode()
    os.ftruncate(descriptor, 0)
    os.pwrite(descriptor, text, 0)


def read_note(path: Path) -> Note | None:
    """Reads who makes a point, or made it last; None where that was never written, or is being written."""
    try:
        return Note(**json.loads(path.read_bytes()))
    except (FileNotFoundError, ValueError, TypeError):
        return None


def is_held(path: Path) -> bool:
    """Tells whether somebody makes the point."""
    if not path.is_file():
        return False
    with path.open("rb") as handle:
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return True
        except OSError:
            return False  # no locks here: the queue alone knows
    return False


def stop(group: int) -> None:
    """Asks all processes of a point to save and end. Snakemake starts nothing more."""
    try:
        os.killpg(group, signal.SIGTERM)
    except ProcessLookupError:
        return  # it has ended by itself


def _lives(group: int) -> bool:
    try:
        os.killpg(group, 0)
    except ProcessLookupError:
        return False
    return True


def _last_words(log: Path) -> str:
    """Returns what a command refused with, or else the end of the log."""
    lines = [line.strip() for line in files.read_text(log).splitlines() if line.strip()]
    # As a run shows the log of a job that failed.
    lines = [line.strip().removeprefix("| ") for line in lines]
    errors = [number for number, line in enumerate(lines) if ": error: " in line]
    return " ".join(lines[errors[-1] : errors[-1] + 3] if errors else lines[-3:])
