"""Jobs of a sweep: submitted by submitit, found again in the queue, stopped.

Whether a job lives is asked of squeue, and of the lock that its point holds:
submitit asks sacct, which many clusters do not have.
"""

from __future__ import annotations

import os
import shlex
import shutil
import signal
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal, cast

import submitit

from suture import cluster, machine, profiles, progress
from suture.delimited import nearest
from suture.errors import ConfigError, InputError
from suture.profiles import Profile
from suture.sweeps import chain
from suture.sweeps.chain import Chain, Ended

Executor = Literal["local", "debug", "slurm"]

CHAIN = ("train_segment", "export_model", "predict", "score")
"""The rules of a point. Its job gets what the profile gives the first, and the memory of the hungriest."""

RULE = {"mem_mb": 16000, "runtime": 600}
"""What rule train_segment asks for by itself."""

_PLAIN = {"slurm_partition": "partition", "slurm_account": "account", "constraint": "constraint", "qos": "qos"}
_KNOWN = (*_PLAIN, "gres", "gpu", "gpu_model", "cpus_per_gpu", "cpus_per_task", "mem_mb", "runtime", "slurm_extra")
_UNLIMITED = 60 * 24 * 365
_AGAIN = 10.0
_WAIT = 15.0
"""Seconds that the file of a job's result may take to be seen."""


def resources(profile: Profile | None, given: Mapping[str, str]) -> dict[str, Any]:
    """Returns what a point's job asks for, by the profile's names.

    Args:
        profile: of the cluster.
        given: values that go before it; an empty one takes a resource away.

    Raises:
        ConfigError: a resource that a sweep cannot ask for.
    """
    asked = {name: profile.resources(name, {}) if profile else {} for name in CHAIN}
    memory = max(int(one.get("mem_mb", 0)) for one in (RULE, *asked.values())) if profile else RULE["mem_mb"]
    found = {**RULE, **asked[CHAIN[0]], "mem_mb": memory, **given}
    unknown = [name for name in found if name not in _KNOWN]
    if unknown:
        raise ConfigError(
            f"a sweep cannot ask for the resource {unknown[0]!r}{nearest(unknown[0], _KNOWN)}",
            fix=f"there are: {', '.join(_KNOWN)}; a point runs on one node; slurm_extra takes any option of sbatch",
        )
    return {name: value for name, value in found.items() if value not in ("", None)}


def minutes(asked: Mapping[str, Any]) -> float:
    """Returns the minutes of a job.

    Raises:
        ConfigError: it is no time.
    """
    found = profiles.minutes(asked["runtime"])
    if not found or found < 1:
        raise ConfigError(f"runtime: {asked['runtime']!r} is no time", fix="minutes, or as in 12h")
    return found


def parameters(asked: Mapping[str, Any]) -> dict[str, Any]:
    """Returns resources as parameters of AutoExecutor."""
    limit = minutes(asked)
    extra: dict[str, Any] = {}
    for word in shlex.split(str(asked.get("slurm_extra", ""))):
        option, _, value = word.removeprefix("--").partition("=")
        # submitit sends a signal of its own, upon which a point saves and is queued again.
        if option != "signal":
            extra[option] = value or True
    if "gpu" in asked:
        extra["gpus"] = ":".join(str(asked[name]) for name in ("gpu_model", "gpu") if name in asked)
    extra |= {
        name.replace("_", "-"): asked[name] for name in ("cpus_per_gpu", "cpus_per_task", "gres") if name in asked
    }
    made: dict[str, Any] = {f"slurm_{key}": str(asked[name]) for name, key in _PLAIN.items() if name in asked}
    return made | {
        "timeout_min": round(limit),
        "slurm_mem": f"{asked['mem_mb']}M",
        # Training stops by itself before; a quarter of the job is kept for that, at most three minutes.
        "slurm_signal_delay_s": min(60, round(limit * 60 * 0.15)),
        "slurm_additional_parameters": extra,
    }


@dataclass(kw_only=True)
class Jobs:
    """The jobs of a sweep.

    Attributes:
        kind: who runs them.
        folder: of submitit's files.
        locks: folder of the points' locks.
        asked: resources; of local jobs only a time limit, where one is asked for.
        retries: how often a job whose time was over is queued again.
    """

    kind: Executor
    folder: Path
    locks: Path
    asked: Mapping[str, Any]
    retries: int
    _made: dict[str, submitit.Job[Ended]] = field(default_factory=dict)

    def lock(self, point: str) -> Path:
        """The file that is locked while a point is made."""
        return self.locks / f"{point}.lock"

    def submit(self, work: Chain) -> str:
        """Submits a point; returns the job's id.

        Raises:
            InputError: the queue refuses the job, or there is none.
        """
        if self.kind == "slurm" and not shutil.which("sbatch"):
            raise InputError(
                "no sbatch on PATH", fix="start this on your cluster's login node, or leave out --executor slurm"
            )
        executor = submitit.AutoExecutor(
            self.folder,
            cluster=self.kind,
            **{f"{self.kind}_max_num_timeout": self.retries} if self.kind != "debug" else {},
        )
        executor.update_parameters(name=_name(work))
        if self.kind == "slurm":
            executor.update_parameters(**parameters(self.asked), slurm_setup=[_python_path()])
        elif self.kind == "local":
            executor.update_parameters(timeout_min=round(work.minutes or _UNLIMITED))
        try:
            with _started_here():
                job = cast("submitit.Job[Ended]", executor.submit(work))
        except submitit.core.utils.FailedJobError as error:
            said = " ".join(str(error).split())
            raise InputError(f"the queue refuses {work.point}: {said}", fix="--resources, or the profile") from error
        self._made[work.point] = job
        return str(job.job_id)

    def alive(self, works: Mapping[str, Chain]) -> dict[str, str]:
        """Finds the jobs that wait or run: of this sweep, and of one that was killed.

        Returns:
            By point, the job as a user would look for it.
        """
        queued = _queued(self.kind == "slurm")
        found = {}
        for point, work in works.items():
            job = self._made.get(point)
            if (number := queued.get((_name(work), str(work.folder)))) is not None:
                found[point] = number
            elif chain.is_held(self.lock(point)):
                note = chain.read_note(self.lock(point))
                found[point] = f"process group {note.group} on {note.host}" if note else "starting"
            elif self.kind == "local" and job is not None and not job.done():
                found[point] = str(job.job_id)
        return found

    def outdated(self, works: Mapping[str, Chain]) -> dict[str, str]:
        """Finds jobs that make points by settings that are not today's: by point, the id in the queue or empty."""
        found = {}
        queued = _queued(self.kind == "slurm")
        for point, work in works.items():
            others = [
                number
                for (name, folder), number in queued.items()
                if folder == str(work.folder)
                and name.rpartition("@")[0] == _name(work).rpartition("@")[0]
                and name != _name(work)
            ]
            note = chain.read_note(self.lock(point)) if chain.is_held(self.lock(point)) else None
            if others or (note is not None and note.digest != work.digest):
                found[point] = others[0] if others else ""
        return found

    def stop(self, point: str, number: str = "") -> None:
        """Stops a point's job and waits until it has saved; one in the queue is cancelled."""
        if number.isdigit():
            cluster.ask("scancel", number)
        until, told = time.monotonic() + chain.PATIENCE, False
        while chain.is_held(self.lock(point)) and time.monotonic() < until:
            note = chain.read_note(self.lock(point))
            if not told and note and note.group and note.host == machine.host():
                chain.stop(note.group)
                told = True
            time.sleep(0.2)

    def ended(self, point: str, number: str) -> Ended:
        """Returns how a job ended that is no longer alive; one without a word was interrupted."""
        job = self._made.get(point)
        if job is None and number.isdigit():
            job = submitit.SlurmJob(self.folder, number)
        if job is None:
            return Ended(state="interrupted", reason="it was another sweep's")
        if self.kind != "debug":
            until = time.monotonic() + _WAIT
            while not job.paths.result_pickle.exists():
                if time.monotonic() > until:
                    return Ended(state="interrupted", reason="it was killed, or its node was lost")
                time.sleep(0.2)
        try:
            return job.result()
        except (submitit.core.utils.FailedJobError, submitit.core.utils.UncompletedJobError) as error:
            return Ended(state="failed", reason=str(error).strip().splitlines()[-1])


def _name(work: Chain) -> str:
    """The job's name in the queue, by which a sweep finds it again."""
    return f"{work.ledger.parent.name}/{work.point}@{work.digest}"


def _queued(wanted: bool) -> dict[tuple[str, str], str]:
    """Returns the ids of this user's jobs, by name and folder.

    Args:
        wanted: jobs are the queue's: while it does not answer, nothing is known of them, and it is asked again. A job
            that was taken for ended would be submitted twice.
    """
    if not wanted and not shutil.which("squeue"):
        return {}
    while (answer := cluster.ask("squeue", "--me", "-h", "-o", "%i|%j|%Z"))[0] and wanted:
        progress.say(f"squeue does not answer ({answer[1].splitlines()[-1] if answer[1] else answer[0]}); asked again")
        time.sleep(_AGAIN)
    rows = [line.split("|") for line in answer[1].splitlines()] if answer[0] == 0 else []
    return {(row[1], row[2]): row[0] for row in rows if len(row) == 3}


def _python_path() -> str:
    return f"export PYTHONPATH={shlex.quote(str(Path(chain.__file__).parents[2]))}"


@contextmanager
def _started_here() -> Iterator[None]:
    """Lets a job find this library, and keeps Ctrl-C from local ones: the sweep stops them in order."""
    before = os.environ.get("PYTHONPATH")
    os.environ["PYTHONPATH"] = str(Path(chain.__file__).parents[2])
    handler = signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, handler)
        if before is None:
            del os.environ["PYTHONPATH"]
        else:
            os.environ["PYTHONPATH"] = before
