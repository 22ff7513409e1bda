"""What each experiment will take: steps, jobs, hours, disk, memory; and what cannot fit, with the numbers.

A number says where it is from. Measured: by a probe of these settings, or by
this experiment's own training. Estimated: from a probe of other settings. What
nobody measured is left out, and it is said why.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from suture import caches, files, ledger, probing
from suture import pace as pacing
from suture.config.experiment import Experiment
from suture.config.model import Config
from suture.config.schedule import OPEN, Plan, Schedule, asked, borders
from suture.ledger import Ledger
from suture.pace import SLACK, Limit, Pace, Source, fitting, in_words, job_seconds, margin_seconds
from suture.probing import Memory, Probe
from suture.status import duration

OWN_FILES = 3
"""Files of a finished job beside the checkpoint's own: card, log, benchmark."""


@dataclass(frozen=True, kw_only=True)
class Disk:
    """Room on disk: ``checkpoint`` of one save, ``exported`` of the model, ``caches`` of frames and features; bytes."""

    checkpoint: int
    checkpoint_files: int
    exported: int
    caches: int
    cache_files: int


@dataclass(frozen=True, kw_only=True)
class Row:
    """One experiment's plan.

    Attributes:
        trains: full, lora or qlora.
        steps: optimiser steps; None: not known before the split.
        borders: last step of each job; empty where it is not known.
        arithmetic: how epochs became steps.
        pace: None where nobody measured.
        job_hours: of the longest job.
        gpu_hours: of all jobs; None where the pace is not that of a GPU.
        hours: of all jobs, one after the other.
        limit: of one job.
        disk_bytes: what all of it takes while it trains; None where nobody measured.
        n_files: number of its files.
        memory: by way of training, of the longest batch.
        capacity_bytes: the device's.
        problems: why it cannot be run; each says the way out.
        notes: what a reader should know of the numbers.
    """

    experiment: str
    trains: str
    steps: int | None
    borders: list[int]
    arithmetic: str
    pace: Pace | None
    source: Source
    job_hours: float | None
    hours: float | None
    gpu_hours: float | None
    limit: Limit
    disk_bytes: int | None
    n_files: int | None
    memory: dict[str, Memory]
    capacity_bytes: int | None
    device: str
    problems: list[str] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)

    @property
    def steps_per_job(self) -> int | None:
        """Steps of the longest job."""
        return max((b - a for a, b in zip([0, *self.borders], self.borders, strict=False)), default=None)


def rows(config: Config, results: Path, limit: Limit, gpus: int) -> list[Row]:
    """Plans all experiments of a run.

    Args:
        config: the configuration; steps and jobs may be open.
        results: the folder of runs.
        limit: of one job.
        gpus: cards that a training job asks for; 0: it runs without.
    """
    run = results / config.run
    book = ledger.read(run / "ledger.jsonl")
    samples = split_samples(run)
    probes = {name: probing.read(probing.path_of(run, name)) for name in config.experiments}
    found = [
        plan(
            name,
            one,
            probe=probes[name],
            book=book,
            samples=samples,
            limit=limit,
            gpus=gpus,
            finished=finished_borders(run / "train" / name, one.train),
            # Elsewhere they take another disk's room (suture.cache_room).
            cached=(0, 0) if config.storage.cache else _caches(run, one),
        )
        for name, one in sorted(config.experiments.items())
    ]
    needed = sum(row.disk_bytes or 0 for row in found)
    free, files_free = caches.free(run)
    written = sum(path.stat().st_size for path in (run / "train").rglob("*") if path.is_file())
    if needed - written > free:
        for row in found:
            if row.disk_bytes:
                row.problems.append(
                    f"the experiments take {needed / 1e9:,.1f} GB, {written / 1e9:,.1f} are there, and the disk of "
                    f"{results} has {free / 1e9:,.1f} GB free: make room, or put results on another disk"
                )
    number = sum(row.n_files or 0 for row in found)
    if files_free is not None and number > files_free:
        for row in found:
            if row.n_files:
                row.problems.append(
                    f"the experiments are {number:,} files, and the disk of {results} has room for {files_free:,}: "
                    "delete some, or put results on another disk"
                )
    return found


def split_samples(run: Path) -> int | None:
    """Returns the number of training samples of a finished split; None without one.

    Raises:
        InputError: split.json is no JSON.
    """
    path = run / "manifests" / "split" / "split.json"
    return int(files.read_json(path)["counts"]["train"]["samples"]) if path.is_file() else None


def finished_borders(folder: Path, train: Schedule) -> list[int]:
    """Returns the last steps of the jobs that are done with these options: a new plan does not move them."""
    found: list[int] = []
    kept = set(probing.asked(train)) - probing.NOT_ASKED
    while (card := folder / f"segment-{len(found) + 1}" / "suture.json").is_file():
        row = files.read_json(card)
        before = {name: row.get("identity", {}).get(name) for name in kept}
        if row.get("stopped") or before != {name: getattr(train, name) for name in kept}:
            break
        found.append(int(row["step"]))
    return found


def plan(
    name: str,
    experiment: Experiment,
    *,
    probe: Probe | None,
    book: Ledger,
    samples: int | None,
    limit: Limit,
    gpus: int,
    finished: Sequence[int] = (),
    cached: tuple[int, int] = (0, 0),
) -> Row:
    """Plans one experiment.

    Args:
        name: its name.
        experiment: its configuration.
        probe: what was measured of it, if anything.
        book: the run's ledger.
        samples: training samples of the finished split; None: not split yet.
        limit: of one job.
        gpus: cards that a training job asks for.
        finished: last steps of the jobs that are done.
        cached: bytes and number of the files of its caches, as far as they are there.
    """
    train = experiment.train
    steps, arithmetic = _steps(train, samples)
    pace, why = pacing.of(name, train, probe, book, gpus)
    problems: list[str] = []
    notes = [why] if why else []
    ends = _borders(train, steps, pace, limit, finished, problems)
    job = hours = None
    if ends and pace:
        seconds = [job_seconds(train, b - a, pace) for a, b in zip([0, *ends], ends, strict=False)]
        job, hours = max(seconds) / 3600, sum(seconds) / 3600
        longest = max(b - a for a, b in zip([0, *ends], ends, strict=False))
        _check_time(train, longest, job, pace, limit, problems, notes)
    disk = _disk(probe, cached)
    memory = dict(probe.memory) if probe else {}
    trains = probing.mode_of(train)
    own = memory.get(trains)
    if own is not None and own.bytes is None and (probe is None or probe.asked == probing.asked(train)):
        problems.append(f"{trains} training does not fit the memory: {own.problem}")
    if not memory:
        notes.append("memory: not measured; a job's first lines say what its longest batch takes")
    return Row(
        experiment=name,
        trains=trains,
        steps=steps,
        borders=ends,
        arithmetic=arithmetic,
        pace=pace,
        source=pace.source if pace else "not measured",
        job_hours=job,
        hours=hours,
        gpu_hours=hours * pace.gpus if hours is not None and pace and pace.gpus else None,
        limit=limit,
        # Beside each job's checkpoint, the two that a job in the making keeps.
        disk_bytes=(len(ends) + 2) * disk.checkpoint + disk.exported + disk.caches if disk and ends else None,
        n_files=(
            (len(ends) + 2) * (disk.checkpoint_files + OWN_FILES) + disk.checkpoint_files + disk.cache_files
            if disk and ends
            else None
        ),
        memory=memory,
        capacity_bytes=probe.capacity_bytes if probe else None,
        device=probe.device if probe else pace.device if pace else "",
        problems=problems,
        notes=notes,
    )


def _steps(train: Schedule, samples: int | None) -> tuple[int | None, str]:
    """Returns the steps of a run and how they came from epochs."""
    a_step = train.batch_size * train.gradient_accumulation_steps
    if train.epochs is None:
        passes = f" = {train.max_steps * a_step / samples:.3g} epochs of {samples:,} samples" if samples else ""
        return train.max_steps, f"{train.max_steps:,} steps of {a_step} samples{passes}"
    if samples is None:
        return None, f"{train.epochs:g} epochs: a number of steps once the split is made (`snakemake plan` makes it)"
    steps = math.ceil(samples * train.epochs / a_step)
    factors = f"{train.batch_size} x {train.gradient_accumulation_steps}"
    return steps, f"{train.epochs:g} epochs x {samples:,} samples / ({factors}) a step = {steps:,} steps"


def _borders(
    train: Schedule, steps: int | None, pace: Pace | None, limit: Limit, finished: Sequence[int], problems: list[str]
) -> list[int]:
    """Divides a run into jobs. Finished ones keep their borders where the plan may choose."""
    if steps is None:
        return []
    if train.steps_per_job != OPEN:
        return borders(steps, train.steps_per_job)
    kept = [step for step in finished if step <= steps]
    left = steps - (kept[-1] if kept else 0)
    if not left:
        return kept
    if pace is None:
        return []
    most = fitting(train, pace, limit)
    if not most:
        problems.append(
            f"not one step fits a job of {in_words(limit)}: start {duration(pace.start_seconds)}, a step "
            f"{pace.seconds_per_step:.3g} s, a save {pace.save_seconds:.3g} s, margin "
            f"{duration(margin_seconds(limit, pace))}; ask for a longer runtime or another partition"
        )
        return []
    # Jobs of equal length: none is cut short at the end, and each has the same room.
    jobs = math.ceil(left / most)
    each = math.ceil(left / jobs)
    first = steps - left
    return [*kept, *(first + border for border in borders(left, each))]


def _check_time(
    train: Schedule, longest: int, hours: float, pace: Pace, limit: Limit, problems: list[str], notes: list[str]
) -> None:
    most = fitting(train, pace, limit)
    estimated = " (estimated)" if pace.source == "estimated" else ""
    says = (
        f"a job of {longest:,} steps at {pace.seconds_per_step:.3g} s{estimated} takes {duration(hours * 3600)}, "
        f"a job may take {in_words(limit)}"
    )
    way = f"steps_per_job: {most} or less fits" if most else "not one step fits; ask for a longer runtime"
    if hours * 60 > limit.minutes:
        problems.append(f"{says}: {way}")
    elif longest > most:
        notes.append(f"tight: {says}; with {SLACK - 1:.0%} slack and time for its end, {way}")


def _disk(probe: Probe | None, cached: tuple[int, int]) -> Disk | None:
    if probe is None or probe.timing is None:
        return None
    timing = probe.timing
    return Disk(
        checkpoint=timing.checkpoint_bytes,
        checkpoint_files=timing.checkpoint_files,
        exported=timing.exported_bytes,
        caches=cached[0],
        cache_files=cached[1],
    )


def _caches(run: Path, one: Experiment) -> tuple[int, int]:
    """Returns bytes and number of the files of an experiment's frame and feature caches, as far as they are there."""
    folders = [run / "cache" / "frames" / one.frames.key]
    if one.cache_features:
        folders.append(run / "cache" / "features" / one.base_key / one.frames.key)
    sizes = [path.stat().st_size for folder in folders for path in folder.rglob("*") if path.is_file()]
    return sum(sizes), len(sizes)


def settled(row: Row, raw_train: Mapping[str, object], samples: int | None) -> Plan | None:
    """Returns what the DAG is to be built by; None where something is not known yet, or cannot fit.

    Args:
        row: of the experiment.
        raw_train: its ``train`` as written in the config.
        samples: of the split.
    """
    if row.steps is None or not row.borders or row.problems:
        return None
    epochs = raw_train.get("epochs") is not None
    return Plan(asked=asked(raw_train), max_steps=row.steps, borders=row.borders, samples=samples if epochs else None)
