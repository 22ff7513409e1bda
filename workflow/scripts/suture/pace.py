"""How fast an experiment trains, who says so, and how many of its steps fit a job."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal

from suture import probing
from suture.config.schedule import Schedule
from suture.ledger import Ledger
from suture.probing import Probe
from suture.status import duration

SLACK = 1.15
"""A job is planned as if each step took so much longer: nodes differ, and file systems have bad days."""

MARGIN = 0.05
"""Share of the limit that is kept free for the end of a job, at least what its deadline leaves, and two saves."""

DEADLINE = 180.0
"""Seconds before its limit at which a job stops to save; of a short job a quarter (rules/common.smk)."""

Source = Literal["probe", "ledger", "estimated", "not measured"]

_A_STEP = ("batch_size", "gradient_accumulation_steps")


@dataclass(frozen=True, kw_only=True)
class Limit:
    """How long one job may take, and what says so."""

    minutes: float
    said_by: str


@dataclass(frozen=True, kw_only=True)
class Pace:
    """How fast an experiment trains, and who says so. Seconds; ``note`` goes with an estimate."""

    seconds_per_step: float
    start_seconds: float
    save_seconds: float
    validation_seconds: float
    source: Source
    note: str
    device: str
    gpus: int


def of(name: str, train: Schedule, probe: Probe | None, book: Ledger, gpus: int) -> tuple[Pace | None, str]:
    """Finds who knows how fast an experiment trains: its probe, or its own training.

    Args:
        name: the experiment.
        train: its options.
        probe: what was measured of it, if anything.
        book: the run's ledger.
        gpus: cards that a training job asks for.

    Returns:
        The pace, None where nobody measured; and what is to be said of it.
    """
    timing = probe.timing if probe else None
    if probe and timing:
        other = probe.asked != probing.asked(train)
        notes = []
        factor = 1.0
        if other:
            differing = sorted(k for k, v in probing.asked(train).items() if probe.asked.get(k) != v)
            a_step = [math.prod(one[k] or 1 for k in _A_STEP) for one in (probe.asked, train.model_dump())]
            factor = a_step[1] / a_step[0]
            notes.append(f"estimated: the probe was made with other {', '.join(differing)}; `snakemake plan` measures")
        if gpus and not probe.gpus:
            notes.append("estimated: the probe ran on a CPU, and jobs get a GPU; take the times as an upper bound")
        if not gpus and not probe.gpus:
            notes.append(f"on a CPU ({probe.device}): training jobs ask for no GPU")
        source: Source = "estimated" if other or (gpus and not probe.gpus) else "probe"
        return Pace(
            seconds_per_step=timing.seconds_per_step * factor,
            start_seconds=timing.start_seconds,
            save_seconds=timing.save_seconds,
            validation_seconds=timing.validation_seconds,
            source=source,
            note=notes[0] if notes else "",
            device=probe.device,
            gpus=probe.gpus,
        ), "; ".join(notes)
    timed = [one for one in book.of(name) if one.seconds_per_step and one.last_step > one.first_step]
    if timed:
        last = timed[-1]
        begun = last.wall_seconds - (last.last_step - last.first_step) * (last.seconds_per_step or 0)
        return Pace(
            seconds_per_step=last.seconds_per_step or 0.0,
            start_seconds=max(0.0, begun),
            save_seconds=0.0,  # the mean over a job has its saves and validations in it
            validation_seconds=0.0,
            source="ledger",
            note="",
            device=last.device,
            gpus=last.gpus,
        ), f"s/step: of its own training, steps {last.first_step} to {last.last_step} on {last.device}"
    if probe:
        return None, "s/step: not measured: the longest batch does not fit"
    return None, "s/step, hours, disk: not measured, there is no probe yet; `snakemake plan` makes one, in a few steps"


def job_seconds(train: Schedule, steps: int, pace: Pace) -> float:
    """Returns how long a job of so many steps takes: loading, steps, saves and validations."""
    saves = math.ceil(steps / train.save_steps)
    validations = steps // train.eval_steps if train.eval_steps else 1
    return (
        pace.start_seconds
        + steps * pace.seconds_per_step
        + saves * pace.save_seconds
        + validations * pace.validation_seconds
    )


def margin_seconds(limit: Limit, pace: Pace) -> float:
    """Returns what of a job's time is kept free for its end."""
    seconds = limit.minutes * 60
    return max(min(DEADLINE, seconds / 4), MARGIN * seconds, 2 * pace.save_seconds)


def fitting(train: Schedule, pace: Pace, limit: Limit) -> int:
    """Returns the most steps whose job fits the limit, with slack; 0: not even one does."""
    room = limit.minutes * 60 - margin_seconds(limit, pace)
    low, high = 0, max(1, int(room / max(pace.seconds_per_step, 1e-9)) + 1)
    while low < high:
        middle = (low + high + 1) // 2
        if SLACK * job_seconds(train, middle, pace) <= room:
            low = middle
        else:
            high = middle - 1
    return low


def in_words(limit: Limit) -> str:
    """Words a limit: ``12.0 h (partition gpu)``."""
    return f"{duration(limit.minutes * 60)} ({limit.said_by})"
