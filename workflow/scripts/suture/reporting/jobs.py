"""What the training jobs took, from the ledger: no hosts, no job ids, no paths, for the page is shown to others."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from suture import ledger
from suture.ledger import Entry


@dataclass(frozen=True, kw_only=True)
class Job:
    """One training job in words; ``bad`` where it did not come to its end."""

    experiment: str
    segment: str
    steps: str
    outcome: str
    bad: bool
    device: str
    pace: str
    memory: str
    time: str
    started: str


@dataclass(frozen=True, kw_only=True)
class Jobs:
    """All jobs, their sums in one line, and what they ran with."""

    rows: tuple[Job, ...]
    sums: str
    code: str
    damaged: int


def read_jobs(path: Path) -> Jobs:
    """Reads a ledger; no file is an empty one."""
    read = ledger.read(path)
    return Jobs(
        rows=tuple(map(_job, read.entries)),
        sums=_sums(read.entries),
        code=_code(read.entries),
        damaged=len(read.damaged),
    )


def _job(entry: Entry) -> Job:
    return Job(
        experiment=entry.experiment,
        segment="–" if entry.segment is None else str(entry.segment),
        steps=f"{entry.first_step} to {entry.last_step}"
        + (f" of {entry.until_step}" if entry.last_step < entry.until_step else ""),
        outcome=entry.outcome + (f": {entry.reason}" if entry.reason else ""),
        bad=entry.outcome in ("failed", "killed"),
        device=f"{entry.gpus} × {entry.device}"
        if entry.gpus
        else f"{entry.device}, {_counted(entry.threads, 'thread')}",
        pace="–" if entry.seconds_per_step is None else f"{entry.seconds_per_step:.2f} s",
        memory=_bytes(entry.gpu_bytes or entry.resident_bytes),
        time=duration(entry.wall_seconds),
        started=entry.started.replace("T", " ").removesuffix("Z"),
    )


def _sums(entries: Sequence[Entry]) -> str:
    if not entries:
        return ""
    total = ledger.totals(entries)
    gpu = f", {total['gpu_hours']:.1f} GPU hours" if total["gpu_hours"] else ""
    return f"{_counted(total['jobs'], 'job')}, {duration(total['wall_hours'] * 3600)} in all{gpu}"


def _code(entries: Sequence[Entry]) -> str:
    if not entries:
        return ""
    versions = {f"{name} {version}" for entry in entries for name, version in entry.versions.items()}
    return f"Code {', '.join(ledger.totals(entries)['codes'])}; {', '.join(sorted(versions))}."


def _counted(number: int, noun: str) -> str:
    return f"{number} {noun}{'' if number == 1 else 's'}"


def _bytes(number: int) -> str:
    return f"{number / 2**30:.1f} GB"


def duration(seconds: float) -> str:
    """Writes a time as hours and minutes, or minutes and seconds."""
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    if hours:
        return f"{hours} h {minutes} min"
    return f"{minutes} min {rest} s" if minutes else f"{rest} s"
