"""What a run would do, why, and what that has cost before: for `make why`, and for the guard at a run's start.

The Snakefile reads this from Snakemake's own DAG, in a dry run too; what is
done with it afterwards needs no Snakemake.
"""

from __future__ import annotations

import dataclasses
import re
import time
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from suture import benchmarks, files, ledger, machine, probing
from suture.errors import SutureError
from suture.ledger import Acceptance, Entry
from suture.stale_words import causes

TRAINING = "train_segment"
DEFAULT_GPUS = 1


@dataclass(frozen=True, kw_only=True)
class Job:
    """A job that a run would do.

    Attributes:
        made: whether its outputs are there: it is done anew, not for the first time.
        half_written: whether an earlier attempt was cut off in them.
        causes: why, in plain words; empty where it only follows from other jobs.
        follows: rules of the jobs that it follows from.
        steps: optimiser steps that it makes, of a training job.
        gpus: cards that it asks for.
        benchmark: file with the seconds that it took the last time.
    """

    rule: str
    wildcards: dict[str, str]
    made: bool
    half_written: bool
    causes: list[str]
    follows: list[str]
    steps: int | None
    gpus: int
    benchmark: str | None

    @property
    def name(self) -> str:
        """The job as a user would say it: ``train_segment qwen-small/2``."""
        return " ".join([self.rule, *filter(None, ["/".join(self.wildcards.values())])])


@dataclass(frozen=True, kw_only=True)
class Cost:
    """GPU-hours of jobs, and those of them that nobody knows."""

    gpu_hours: float
    unknown: list[str] = field(default_factory=list)


def is_yes(value: Any) -> bool:
    """Reads a confirmation as it comes from a command line or the environment."""
    return value is True or str(value).strip().lower() in ("yes", "true", "1", "y")


def jobs(workflow: Any, borders: Mapping[str, Sequence[int]]) -> list[Job]:
    """Returns what a run would do, in order of rules and wildcards.

    Args:
        workflow: Snakemake's, with its DAG made.
        borders: the last steps of each experiment's training jobs.
    """
    dag = workflow.dag
    # A dry run has "finished" them all when it ends.
    needed = [one for one in dag.needrun_jobs(exclude_finished=False) if not one.rule.norun]
    producers = {str(path): one.rule.name for one in needed for path in one.output}
    found = [_job(one, dag.reason(one), producers, borders) for one in needed]
    return sorted(found, key=lambda job: (job.rule, [_natural(value) for value in job.wildcards.values()]))


def _natural(text: str) -> list[tuple[int, str]]:
    return [(int(part), "") if part.isdigit() else (-1, part) for part in re.split(r"(\d+)", text)]


def _job(one: Any, reason: Any, producers: Mapping[str, str], borders: Mapping[str, Sequence[int]]) -> Job:
    wildcards = {name: str(value) for name, value in (one.wildcards_dict or {}).items()}
    ends = [0, *borders.get(wildcards.get("experiment", ""), ())]
    segment = int(wildcards["segment"]) if one.rule.name == TRAINING else 0
    outputs = [Path(str(path)) for path in one.output]
    gpus = str(one.resources.get("gpu", 0))
    return Job(
        rule=one.rule.name,
        wildcards=wildcards,
        made=bool(outputs) and all(path.exists() for path in outputs),
        half_written=bool(reason.incomplete_output),
        causes=causes(one, reason, outputs),
        follows=sorted({producers[str(path)] for path in reason.updated_input_run if str(path) in producers}),
        steps=ends[segment] - ends[segment - 1] if 0 < segment < len(ends) else None,
        gpus=int(gpus) if gpus.isdigit() else DEFAULT_GPUS,
        benchmark=str(one.benchmark) if one.benchmark else None,
    )


def redone(found: Sequence[Job], run: Path) -> Cost:
    """Returns what the results that would be made anew have cost, by ledger and benchmark files."""
    book = ledger.read(run / "ledger.jsonl")
    hours, unknown = 0.0, []
    for job in found:
        if not job.made:
            continue
        cost = _training_hours(job, book.entries) if job.rule == TRAINING else _benchmark_hours(job)
        if cost is None:
            unknown.append(job.name)
        else:
            hours += cost
    return Cost(gpu_hours=hours, unknown=unknown)


def first(found: Sequence[Job], run: Path) -> Cost:
    """Returns what training that was not made before will cost, by the pace of its experiment so far."""
    book = ledger.read(run / "ledger.jsonl")
    hours, unknown = 0.0, []
    for job in found:
        if job.made or job.rule != TRAINING or job.steps is None:
            continue
        name = job.wildcards["experiment"]
        timed = [one for one in book.of(name) if one.seconds_per_step]
        probe = probing.read(probing.path_of(run, name))
        if timed:
            hours += job.steps * (timed[-1].seconds_per_step or 0) * timed[-1].gpus / 3600
        elif probe and probe.timing:
            hours += job.steps * probe.timing.seconds_per_step * probe.gpus / 3600
        else:
            unknown.append(job.name)
    return Cost(gpu_hours=hours, unknown=unknown)


def _training_hours(job: Job, entries: Sequence[Entry]) -> float | None:
    """Sums up what a segment's present checkpoint took: the last whole attempt, and those cut off before it."""
    name, segment = job.wildcards["experiment"], int(job.wildcards["segment"])
    mine = [one for one in entries if one.experiment == name and one.segment == segment]
    whole = [number for number, one in enumerate(mine) if one.outcome in ("done", "early stop")]
    if not whole:
        return None
    begin = whole[-2] + 1 if len(whole) > 1 else 0
    return sum(one.gpu_hours for one in mine[begin : whole[-1] + 1])


def _benchmark_hours(job: Job) -> float | None:
    """Returns the GPU-hours of another job's last run; jobs that ask for no card have none."""
    if not job.gpus:
        return 0.0
    done = benchmarks.read(Path(job.benchmark)) if job.benchmark else None
    return done.seconds * job.gpus / 3600 if done else None


def refusal(found: Sequence[Job], run: Path, allowed: float) -> str | None:
    """Says why a run must be confirmed first; None where it need not be.

    Args:
        found: what it would do.
        run: the folder of the run.
        allowed: GPU-hours of results that may be made anew without asking.
    """
    cost = redone(found, run)
    if cost.gpu_hours <= allowed:
        return None
    return (
        f"this run would make results anew that took about {cost.gpu_hours:.1f} GPU-hours; without asking it may "
        f"{allowed:g} (config: confirm_gpu_hours).\n  because:  "
        + "\n            ".join(reasons(found, made=True)[:5])
        + "\n"
        "  see all:  make why\n"
        "  go on:    the same command with  --config confirm=yes  (or SUTURE_CONFIRM=yes in the environment)\n"
        "  or keep:  make accept  takes the results as they are"
    )


def guard(found: Sequence[Job], run: Path, *, allowed: float, confirmed: bool, accepting: bool) -> None:
    """Stops a run that needs a confirmation, at its start; writes down one that accepts results as they are.

    Raises:
        SutureError: with what it would do and the ways on. Or what is to be accepted is half written.
    """
    if accepting:
        if cut_off := half_written(found):
            raise SutureError(
                f"results that an interrupted job left half written cannot be accepted: {', '.join(cut_off[:5])}",
                fix="run `snakemake` first, or delete them",
            )
        made = [job for job in found if job.made]
        if made:
            ledger.append(run / "ledger.jsonl", acceptance(made, run))
        return
    if not confirmed and (problem := refusal(found, run, allowed)):
        raise SutureError(problem)


def acceptance(made: Sequence[Job], run: Path) -> Acceptance:
    """Returns the ledger's line for results that are taken as they are."""
    commit, changed = machine.git_revision()
    return Acceptance(
        jobs=dict(sorted(Counter(job.rule for job in made).items())),
        causes=reasons(made),
        gpu_hours=redone(made, run).gpu_hours,
        experiments=sorted({job.wildcards["experiment"] for job in made if "experiment" in job.wildcards}),
        commit=commit,
        changed=changed,
        host=machine.host(),
        when=ledger.utc(time.time()),
    )


def reasons(found: Sequence[Job], *, made: bool | None = None) -> list[str]:
    """Lists causes, each once with the jobs it holds for, that of most jobs first; what only follows is left out.

    Args:
        found: what a run would do.
        made: only of jobs with results (True), or without (False).
    """
    counted: Counter[tuple[str, str]] = Counter()
    names: dict[tuple[str, str], str] = {}
    for job in found:
        if made is None or job.made == made:
            for cause in job.causes:
                counted[job.rule, cause] += 1
                names[job.rule, cause] = job.name
    return [
        f"{names[key] if number == 1 else f'{key[0]}, {number} jobs'}: {key[1]}"
        for key, number in counted.most_common()
    ]


def half_written(found: Sequence[Job]) -> list[str]:
    """Names the jobs whose outputs cannot be accepted: an attempt was cut off in them."""
    return [job.name for job in found if job.half_written]


def write(path: Path, found: Sequence[Job]) -> None:
    """Hands jobs on to the process that asked for them."""
    files.write_json(path, [dataclasses.asdict(job) for job in found])


def read(path: Path) -> list[Job]:
    """Reads what :func:`write` wrote."""
    return [Job(**row) for row in files.read_json(path)]
