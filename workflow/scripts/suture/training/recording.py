"""Puts a training job into the ledger, however it ends."""

from __future__ import annotations

import dataclasses
import os
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from suture import beat, files, ledger, machine
from suture.beat import Pace
from suture.ledger import Entry, Outcome

NOTE = "job.json"
"""The file in a job's work folder that stands for its entry until it ends."""


@dataclass(frozen=True, kw_only=True)
class About:
    """What is known of a job when it starts.

    Attributes:
        segment: its number in the run, from 1, where it has one.
        until_step: optimiser step it is to come to.
        samples_per_step: samples an optimiser step, over all processes.
        code: digest of the command's code.
        config: digest of all options, defaults included.
        inputs: digests of base weights and manifests, by role; of many files, one digest.
        seeds: by what they are for.
        threads: CPU threads of torch.
    """

    experiment: str
    segment: int | None
    until_step: int
    samples_per_step: int
    code: str
    config: str
    inputs: Mapping[str, str]
    seeds: Mapping[str, int]
    threads: int


class Record:
    """How a job ended; told by the one who ran it."""

    def __init__(self) -> None:
        self.outcome: Outcome = "failed"
        self.reason = "it ended without an outcome"
        self.steps: tuple[int, int] | None = None

    def ended(self, *, first_step: int, step: int, published: bool, reason: str) -> None:
        """Takes the outcome of the loop: ``published`` with a reason is an early stop, without one it is done."""
        self.steps = (first_step, step)
        self.reason = reason
        if published:
            self.outcome = "early stop" if reason else "done"
        else:
            self.outcome = "signal" if reason.startswith("SIG") else "deadline"


@contextmanager
def recorded(
    path: Path | None, about: About, pace: Pace, *, work_dir: Path, began: float | None = None
) -> Iterator[Record]:
    """Runs a job and writes its entry when it ends, also by an exception.

    A job that is killed writes nothing; the next one in the same work folder
    finds its note there, and writes the entry in its place. A ledger that
    cannot be written is reported and does not undo the training.

    Args:
        path: the ledger; None: there is none.
        about: the job.
        pace: its steps, as the heartbeat counts them.
        work_dir: of the job; the heartbeat lies there.
        began: moment on ``time.monotonic``'s clock that the job's time is counted from; None: now.
    """
    record = Record()
    target = path if os.environ.get("RANK", "0") == "0" else None  # of several processes one writes
    note = work_dir / NOTE
    started = time.time() - (0.0 if began is None else time.monotonic() - began)
    commit, changed = machine.git_revision() if target else (None, None)

    def entry(outcome: Outcome, reason: str) -> Entry:
        first, last = record.steps or (pace.first_step, pace.step)
        now = time.time()
        cards = machine.gpus()
        count = max(int(os.environ.get("WORLD_SIZE", "1")), len(cards)) if cards else 0
        mean = pace.mean
        return Entry(
            experiment=about.experiment,
            segment=about.segment,
            first_step=first,
            last_step=last,
            until_step=about.until_step,
            outcome=outcome,
            reason=reason,
            commit=commit,
            changed=changed,
            code=about.code,
            config=about.config,
            lock=machine.lock_digest(),
            versions=machine.versions(),
            inputs=dict(about.inputs),
            seeds=dict(about.seeds),
            host=machine.host(),
            device=", ".join(sorted(set(cards))) or machine.cpu(),
            gpus=count,
            threads=about.threads,
            seconds_per_step=mean,
            samples_per_second=about.samples_per_step / mean if mean else None,
            gpu_bytes=machine.peak_gpu_bytes(),
            resident_bytes=machine.peak_resident_bytes(),
            slurm=machine.slurm_job(),
            started=ledger.utc(started),
            ended=ledger.utc(now),
            wall_seconds=now - started,
            gpu_hours=count * (now - started) / 3600,
        )

    if target:
        _settle(target, work_dir)
        process = {"pid": os.getpid(), "process": machine.process_started(os.getpid())}
        files.write_json(note, {**process, "entry": dataclasses.asdict(entry("killed", "no end was written"))})
    try:
        yield record
    except BaseException as error:
        record.outcome, record.reason = "failed", f"{type(error).__name__}: {error}"
        raise
    finally:
        if target:
            _append(target, entry(record.outcome, record.reason))
            note.unlink(missing_ok=True)


def _append(path: Path, entry: Entry) -> None:
    try:
        ledger.append(path, entry)
    except OSError as error:
        print(f"the ledger has no entry of this job: {error}", file=sys.stderr, flush=True)


def _settle(path: Path, work_dir: Path) -> None:
    """Writes the entry of a job that was killed in this work folder, as far as its last heartbeat."""
    note = work_dir / NOTE
    if not note.is_file():
        return
    left = files.read_json(note)
    entry = ledger.entry_of(left["entry"])
    if entry is None:
        print(f"{note} is of another version: a job that was killed is not in the ledger", file=sys.stderr, flush=True)
        return
    if entry.host == machine.host() and machine.process_started(left["pid"]) == left["process"]:
        print(f"process {left['pid']} is at work in {work_dir} too", file=sys.stderr, flush=True)
        return
    last = beat.read(work_dir / beat.NAME)
    if last is not None and (last.pid, last.process, last.host) == (left["pid"], left["process"], entry.host):
        seconds = max(0.0, ledger.moment(last.updated) - ledger.moment(entry.started))
        entry = dataclasses.replace(
            entry,
            first_step=last.first_step,
            last_step=last.step,
            seconds_per_step=last.seconds_per_step,
            ended=last.updated,
            wall_seconds=seconds,
            gpu_hours=entry.gpus * seconds / 3600,
        )
    _append(path, entry)
