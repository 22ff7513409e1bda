"""Carries a sweep through: finds what is to be made, submits it, waits, and goes on where one was cut off."""

from __future__ import annotations

import fcntl
import os
import shlex
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import yaml

from suture import dry_run, files, progress, stale
from suture.config import variants
from suture.config.load import resolve
from suture.errors import InputError, SutureError
from suture.stale import Job
from suture.sweeps.chain import Chain
from suture.sweeps.jobs import Jobs
from suture.sweeps.points import Sweep

POLL = 2.0
RETRIES = 5
"""How often a point goes on that was interrupted, as often as a training job of a run."""

CONFIG = "config.resolved.yaml"
States = dict[str, tuple[str, str]]


@dataclass(frozen=True, kw_only=True)
class Place:
    """Where a sweep's files lie: all but what the rules make."""

    run: Path
    name: str

    @property
    def folder(self) -> Path:
        """The sweep's own folder."""
        return self.run / "sweeps" / self.name


class Interrupted(KeyboardInterrupt):
    """The sweep was told to stop: its points can go on. No error, which submitit's debug executor would look into."""


def write_config(place: Place, sweep: Sweep) -> Path:
    """Writes the config that Snakemake is given, under a name of its content, and the resolved one for `make compare`.

    A job that still waits in the queue reads the file that it was submitted with.
    """
    text = yaml.safe_dump(sweep.raw, sort_keys=False, allow_unicode=True, width=120)
    path = place.folder / f"config-{files.sha256_text(text)[:12]}.yaml"
    files.write_text(path, text)
    resolved = sweep.config.model_dump(mode="json", exclude_none=True)
    files.write_text(place.folder / CONFIG, yaml.safe_dump(resolved, sort_keys=False, allow_unicode=True, width=120))
    return path


def targets(place: Place, runs: Sequence[str]) -> list[str]:
    """Returns the files that a point is: its scores, which come last."""
    return [f"{place.run}/metrics/{name}.json" for name in runs]


def plan(place: Place, config: Path, sweep: Sweep) -> list[Job]:
    """Asks Snakemake what is to be made.

    Raises:
        InputError: it cannot plan.
    """
    wanted = [path for point in sweep.points for path in targets(place, sweep.runs(point))]
    return dry_run.planned(["--configfile", str(config), "--", *wanted])


def to_make(sweep: Sweep, found: Sequence[Job]) -> set[str]:
    """Returns the points that a plan has jobs of."""
    named = {job.wildcards.get("experiment", "") for job in found}
    return {
        point.name
        for point in sweep.points
        if any(name in named or f"{name}.blind" in named for name in sweep.runs(point))
    }


def shared(sweep: Sweep, found: Sequence[Job]) -> list[Job]:
    """Returns the jobs of a plan that are no point's: data, caches, base models."""
    mine = [name for point in sweep.points for name in sweep.runs(point)]
    return [job for job in found if not job.wildcards.get("experiment", "").startswith(tuple(mine))]


def make_shared(place: Place, config: Path, sweep: Sweep, profile: str | None) -> None:
    """Makes what all points are made from, by Snakemake itself.

    Raises:
        SutureError: it could not.
    """
    options = [*(["--profile", profile] if profile else []), "--configfile", str(config)]
    wanted = [path for point in sweep.points for path in targets(place, sweep.runs(point))]
    repeated = resolve(variants.multiplied(sweep.raw)).experiments
    bases = sorted(
        {str(before) for point in sweep.points for name in sweep.runs(point) if (before := repeated[name].init_from)}
    )
    # A base is trained by the rule that trains the points.
    calls = [[f"{place.run}/models/{name}" for name in bases]] if bases else []
    for goals in [*calls, ["--omit-from", "train_segment", "--", *wanted]]:
        if _snakemake([*options, *goals]):
            raise SutureError(
                "what the points are made from could not be made; Snakemake says why above",
                fix=f"mend that, and the same command goes on; alone:  snakemake {shlex.join([*options, 'data'])}",
            )


def _snakemake(words: Sequence[str]) -> int:
    """Runs Snakemake to its end, or has it stop in order, its lock given back."""
    env = {**os.environ, "SUTURE_CONFIRM": "yes"}
    with subprocess.Popen([sys.executable, "-m", "snakemake", *words], env=env, start_new_session=True) as child:
        try:
            return child.wait()
        except Interrupted:
            os.killpg(child.pid, signal.SIGINT)
            child.wait()
            raise


def chains(
    place: Place, config: Path, sweep: Sweep, jobs: Jobs, *, minutes: float | None, deploy: Sequence[str]
) -> dict[str, Chain]:
    """Returns the job of each point, by its name."""
    made = {}
    for point in sweep.points:
        runs = sweep.runs(point)
        command = [sys.executable, "-m", "snakemake", "--configfile", str(config), "--nolock", "--cores", "1", *deploy]
        if minutes is not None:
            command += ["--set-resources", f"train_segment:runtime={round(minutes)}"]
        made[point.name] = Chain(
            point=point.name,
            digest=sweep.digest(point),
            runs=tuple(runs),
            command=(*command, "--", *targets(place, runs)),
            folder=Path.cwd(),
            lock=Path.cwd() / jobs.lock(point.name),
            log=_log(place, point.name),
            ledger=Path.cwd() / place.run / "ledger.jsonl",
            minutes=minutes,
            cards=os.environ.get("CUDA_VISIBLE_DEVICES"),
            local=jobs.kind == "local",
        )
    return made


def _log(place: Place, point: str) -> Path:
    path = Path.cwd() / place.run / "logs" / "sweep" / f"{point}.log"
    path.parent.mkdir(parents=True, exist_ok=True)
    return path


def clear(jobs: Jobs, works: Mapping[str, Chain], *, every: bool) -> None:
    """Stops jobs of an earlier sweep that make points by other settings, or all where their data are made anew."""
    outdated = jobs.outdated(works)
    if every:
        outdated |= jobs.alive({point: work for point, work in works.items() if point not in outdated})
    for point, number in outdated.items():
        progress.say(f"{point}: a job makes it by other settings or data; it is stopped")
        jobs.stop(point, number)


def carry_through(jobs: Jobs, works: Mapping[str, Chain], wanted: set[str], most: int, states: States) -> set[str]:
    """Has the points made, and waits for them.

    Args:
        jobs: where they are submitted.
        works: the job of each point.
        wanted: points to make.
        most: points at once.
        states: is told what becomes of each point.

    Returns:
        The points that a job made which an earlier sweep had submitted: with the code of then.

    Raises:
        Interrupted: on SIGINT or SIGTERM.
    """
    running = jobs.alive(works)
    adopted = set(running)
    for point, number in running.items():
        states[point] = ("running", "")
        progress.say(f"{point}: found at work ({number}); it is waited for")
    waiting = [point for point in works if point in wanted - adopted]
    attempts = dict.fromkeys(works, 1)
    try:
        while waiting or running:
            while waiting and len(running) < most:
                point = waiting.pop(0)
                running[point] = jobs.submit(works[point])
                states[point] = ("running", "")
                again = f", attempt {attempts[point]}" if attempts[point] > 1 else ""
                progress.say(f"{point}: job {running[point]}{again}")
            alive = jobs.alive({point: works[point] for point in running})
            for point in [point for point in running if point not in alive]:
                ended = jobs.ended(point, running[point])
                del running[point]
                states[point] = (ended.state, ended.reason)
                # What another sweep had submitted is looked at again when all have ended.
                if point in adopted:
                    progress.say(f"{point}: its job has ended")
                    continue
                progress.say(f"{point}: {ended.state}{f': {ended.reason}' if ended.reason else ''}")
                if ended.state == "interrupted" and attempts[point] <= RETRIES:
                    attempts[point] += 1
                    waiting.append(point)
            if running:
                time.sleep(POLL)
    except Interrupted:
        _leave(jobs, running, states)
        raise
    return adopted


def _leave(jobs: Jobs, running: Mapping[str, str], states: States) -> None:
    """Stops local jobs, with their progress saved; those in a queue go on."""
    for point, number in running.items():
        if jobs.kind == "slurm":
            states[point] = ("running", f"job {number} goes on; scancel {number} ends it")
        else:
            jobs.stop(point)
            states[point] = ("interrupted", "its progress is saved")


@contextmanager
def told_to_stop() -> Iterator[None]:
    """Turns SIGINT and SIGTERM into :class:`Interrupted`; a second one, while jobs save, is not waited for."""

    def stop(signum: int, frame: object) -> None:
        signal.signal(signum, before[signal.Signals(signum)])
        raise Interrupted

    before = {signum: signal.signal(signum, stop) for signum in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield
    finally:
        for signum, handler in before.items():
            signal.signal(signum, handler)


@contextmanager
def alone(place: Place) -> Iterator[None]:
    """Refuses a second sweep.py at the same sweep.

    Raises:
        InputError: there is one.
    """
    path = place.folder / "sweep.lock"
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("a+", encoding="utf-8") as handle:
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            raise InputError(
                "another sweep.py is at this sweep", where=path, fix="wait for it, or give this one a --name"
            ) from error
        except OSError as error:
            progress.say(f"{path}: this file system has no locks ({error.strerror})")
        yield


def guard(found: Sequence[Job], place: Place, allowed: float, confirmed: bool) -> None:
    """Stops a sweep that would make expensive results anew without being told so.

    Raises:
        SutureError: with what it would do.
    """
    if not confirmed and (problem := stale.refusal(found, place.run, allowed)):
        raise SutureError(problem)
