"""The jobs that failed, once, where Snakemake stops: rule, wildcards, log, and the log's last lines.

Snakemake's own `--show-failed-logs` prints whole logs, after each attempt, hours before a run that keeps going ends.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

LINES = 15
_WIDTH = 200
_TAIL = 65536
SLURM_LOGS = Path(".snakemake/slurm_logs")


@dataclass(frozen=True, kw_only=True)
class FailedJob:
    """A job that failed, after its last attempt."""

    rule: str
    wildcards: dict[str, str]
    logs: list[Path]

    @property
    def name(self) -> str:
        """The job as a user would say it: ``train_segment experiment=one segment=2``."""
        return " ".join([self.rule, *(f"{name}={value}" for name, value in self.wildcards.items())])


def of_run(workflow: Any) -> list[FailedJob]:
    """Returns what failed for good, from Snakemake's scheduler."""
    found = workflow.scheduler.failed if workflow.scheduler else ()
    single = [job for one in found for job in (one.jobs if one.is_group() else [one])]
    jobs = [
        FailedJob(
            rule=job.rule.name,
            wildcards={name: str(value) for name, value in (job.wildcards_dict or {}).items()},
            logs=[Path(str(path)) for path in job.log],
        )
        for job in single
    ]
    return sorted(jobs, key=lambda job: job.name)


def tell(jobs: Iterable[FailedJob], slurm_logs: Path = SLURM_LOGS) -> str:
    """Returns what a person reads first: each job, where its log is, and how that ends.

    A job that its queue ended before it wrote a word has an empty log: then that of the queue's job is shown.
    """
    jobs = list(jobs)
    head = f"{len(jobs)} job{'' if len(jobs) == 1 else 's'} failed:"
    return "\n".join([head, *(line for job in jobs for line in ["", *_one(job, slurm_logs)])]) if jobs else ""


def _one(job: FailedJob, slurm_logs: Path) -> list[str]:
    shown = [log for log in job.logs if _last_lines(log)] or _of_queue(job, slurm_logs)
    if not shown:
        where = ", ".join(map(str, job.logs)) or "no log"
        return [f"  {job.name}", f"  {where}: nothing was written; Snakemake's lines above say what it knows"]
    return [
        line for log in shown for line in [f"  {job.name}", f"  {log}", *(f"    | {text}" for text in _last_lines(log))]
    ]


def _of_queue(job: FailedJob, slurm_logs: Path) -> list[Path]:
    """Returns the newest log of SLURM's own for a job; the plugin keeps one of each attempt."""
    folder = slurm_logs / f"rule_{job.rule}" / "_".join(value.replace("/", "_") for value in job.wildcards.values())
    found = sorted(folder.glob("*.log"), key=lambda path: path.stat().st_mtime)
    return found[-1:]


def _last_lines(log: Path) -> list[str]:
    if not log.is_file():
        return []
    with log.open("rb") as handle:
        handle.seek(max(0, handle.seek(0, os.SEEK_END) - _TAIL))
        text = handle.read().decode("utf-8", errors="replace")
    # A progress bar writes over its line: what is left of it on a screen is what came last.
    lines = [re.split(r"\r+", line.rstrip("\r"))[-1].rstrip() for line in text.split("\n")]
    kept = [line if len(line) <= _WIDTH else f"{line[:_WIDTH]} ..." for line in lines if line]
    return kept[-LINES:]
