"""What goes wrong on a cluster, on a real one: training ends as if nothing had happened, byte for byte.

The names of the tests stand in the table of docs/slurm.md. A trainer is stopped (SIGSTOP) where a test has something
to do to its job, so that no machine is too fast for it.
"""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import pytest
import yaml

from slurm_cluster import COMMAND, Queue, wait_until
from support import clone, snakemake
from suture import beat, files
from suture.slurm_plugin import SBATCH
from suture.training.claim import NAME as CLAIM

pytestmark = pytest.mark.slurm

TINY = "tests/dag/tiny.yaml"
# What is done to each training of the first run.
FAULTS = ("cancelled", "over_time", "out_of_memory", "preempted_requeued", "preempted_cancelled")
OTHERS = ("infrastructure", "daemon_away", "killed", "full_disk", "without_python", "undisturbed")
STEPS = 200


def resources(**expressions: str) -> tuple[str, ...]:
    """What training asks the queue for; the list replaces the profile's."""
    asked = {"slurm_partition": "gpu", "mem_mb": "4000", "runtime": "20"} | expressions
    return ("--set-resources", *(f"train_segment:{name}={value}" for name, value in asked.items()))


class Run:
    """Trainings of the tiny run that differ in nothing but their names; their data and one result are there."""

    def __init__(self, where: Path) -> None:
        self.where = where
        self.results = where / "results" / "tiny"
        tiny = yaml.safe_load((where / TINY).read_text())
        base = tiny["experiments"]["one"]
        steps = {"max_steps": STEPS, "steps_per_job": STEPS, "save_steps": 10}
        experiments = {name: {**base, "baselines": [], "train": {**base["train"], **steps}} for name in FAULTS + OTHERS}
        (where / "faults.yaml").write_text(yaml.safe_dump(tiny | {"experiments": experiments}))
        self.config = ("--configfile", "faults.yaml")

    def target(self, name: str) -> str:
        return f"results/tiny/train/{name}/segment-1"

    def work(self, name: str) -> Path:
        return self.results / "work" / name / "segment-1"

    def saved(self, name: str) -> int:
        """The last step that is saved."""
        done = [path.parent for path in self.work(name).glob("checkpoint-*/complete.json")]
        return max((int(path.name.removeprefix("checkpoint-")) for path in done), default=0)

    def trainer(self, name: str) -> int:
        """The process that trains, by its last sign of life."""
        pid: int = files.read_json(self.work(name) / beat.NAME)["pid"]
        return pid

    def lives(self, name: str) -> bool:
        """Whether a trainer has given a sign of life, and is there."""
        said = beat.read(self.work(name) / beat.NAME)
        return said is not None and said.life(time.time()) != "gone"

    def jobs(self, name: str) -> list[dict[str, Any]]:
        """What the ledger says of a training, job by job."""
        return [one for one in files.read_jsonl(self.results / "ledger.jsonl") if one["experiment"] == name]

    def assert_equal_to_undisturbed(self, name: str) -> None:
        told, here = (self._contents(one) for one in (name, "undisturbed"))
        assert "optimizer.pt" in here and sorted(told) == sorted(here)
        assert [part for part in here if told[part] != here[part]] == []

    def _contents(self, name: str) -> dict[str, bytes]:
        return {path.name: path.read_bytes() for path in sorted((self.where / self.target(name)).iterdir())}


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Run:
    made = Run(clone(tmp_path_factory.mktemp("run")))
    snakemake(made.where, made.target("undisturbed"), *made.config)
    return made


class Watched:
    """A snakemake on the cluster, and what happens to its trainings."""

    def __init__(self, run: Run, queue: Queue, process: subprocess.Popen[str]) -> None:
        self.run, self.queue, self.process = run, queue, process

    def until(self, seen: Callable[[], Any]) -> Any:
        """Waits for something, as long as snakemake runs."""
        return wait_until(seen, self.process)

    def state(self, name: str) -> dict[str, str]:
        """States of a training's jobs by their ids, those that have ended too."""
        return self.queue.states(f"rule_train_segment_wildcards_{name}_1")

    def running(self, name: str) -> str | None:
        """The id of the job that runs."""
        return next((job for job, state in self.state(name).items() if state == "RUNNING"), None)

    def node(self, job: str) -> str:
        return self.queue.cluster.run("squeue", "-h", "-j", job, "-o", "%N")

    def stall(self, names: Iterable[str], *, at_once: Iterable[str] = ()) -> dict[str, str]:
        """Stops each trainer once it has saved what no job before it had; returns their jobs.

        Those of ``at_once`` are stopped when they are there at all, should their job run so long.
        """
        before = {name: self.run.saved(name) for name in names}
        waiting = {*before, *at_once}
        jobs: dict[str, str] = {}

        def all_stalled() -> bool:
            for name in sorted(waiting):
                running = self.running(name)
                job = jobs.setdefault(name, running) if running else jobs.get(name)
                if job is None:
                    continue
                there = self.run.saved(name) > before[name] if name in before else self.run.lives(name)
                if there and running:
                    os.kill(self.run.trainer(name), signal.SIGSTOP)
                    jobs[name] = running
                    waiting.remove(name)
                elif name not in before and running != job:
                    waiting.remove(name)
            return not waiting

        self.until(all_stalled)
        return jobs

    def outbid(self, job: str) -> None:
        """Submits a job of a partition that goes first, which has room only in this job's place."""
        node = self.node(job)
        self.queue.cluster.run(
            "sbatch", "-p", "urgent", "-w", node, "--mem", "100000", "-o", "/dev/null", "--wrap", "true"
        )


class Faults:
    """The first run: five trainings at once, to each of which something happens after its first save."""

    def __init__(self, run: Run, queue: Queue) -> None:
        self.states: dict[str, dict[str, str]] = {}
        self.asked: list[int] = []
        asked = resources(
            slurm_partition='({"over_time": "strict", "preempted_requeued": "requeued",'
            ' "preempted_cancelled": "cancelled"}.get(wildcards.experiment, "gpu") if attempt == 1 else "gpu")',
            mem_mb='100000 if wildcards.experiment.startswith("preempted") and attempt == 1 else'
            ' 450 if wildcards.experiment == "out_of_memory" else 4000',
            runtime='1 if wildcards.experiment == "over_time" and attempt == 1 else 20',
            slurm_extra='"--acctg-freq=task=1" if wildcards.experiment == "out_of_memory" else ""',
        )
        targets = [run.target(name) for name in FAULTS]
        with queue.start(run.where, *targets, *run.config, *asked, "--jobs", "5") as process:
            watched = Watched(run, queue, process)
            stalled = watched.stall(["cancelled", "preempted_requeued", "preempted_cancelled"], at_once=["over_time"])
            self.saved = {name: run.saved(name) for name in stalled}
            queue.cluster.run("scancel", stalled["cancelled"])
            for name in ("preempted_requeued", "preempted_cancelled"):
                watched.outbid(stalled[name])
            watched.until(lambda: watched.state("over_time")[stalled["over_time"]] != "RUNNING")
            self.printed, _ = process.communicate(timeout=900)
            self.states = {name: watched.state(name) for name in FAULTS}
        self.code = process.returncode
        said = [queue.cluster.run("scontrol", "-o", "show", "job", job) for job in self.states["out_of_memory"]]
        self.asked = [int(match[1]) for text in said for match in re.finditer(r"TRES=\S*?mem=(\d+)M", text)]


@pytest.fixture(scope="module")
def faults(run: Run, queue: Queue) -> Faults:
    made = Faults(run, queue)
    assert made.code == 0, made.printed[-8000:]
    return made


def test_a_job_that_is_cancelled_goes_on_in_another(run: Run, faults: Faults) -> None:
    assert sorted(faults.states["cancelled"].values()) == ["CANCELLED", "COMPLETED"]
    first, *_, last = run.jobs("cancelled")
    assert first["outcome"] == "signal" and last["first_step"] == first["last_step"], "SIGTERM: nothing is lost"
    run.assert_equal_to_undisturbed("cancelled")


def test_a_job_over_its_time_goes_on_in_another(run: Run, faults: Faults) -> None:
    assert sorted(faults.states["over_time"].values()) == ["COMPLETED", "TIMEOUT"]
    assert run.jobs("over_time")[-1]["outcome"] == "done"
    run.assert_equal_to_undisturbed("over_time")


def test_a_job_out_of_memory_gets_half_as_much_more(run: Run, faults: Faults) -> None:
    """Over what the profile asks for, which stands above the rule."""
    ends = list(faults.states["out_of_memory"].values())
    assert len(ends) > 1 and ends.count("COMPLETED") == 1 and set(ends) <= {"COMPLETED", "FAILED", "OUT_OF_MEMORY"}
    assert sorted(faults.asked) == [round(450 * 1.5**times) for times in range(len(ends))]
    run.assert_equal_to_undisturbed("out_of_memory")


def test_a_preempted_job_that_is_put_back_goes_on_under_its_id(run: Run, faults: Faults) -> None:
    assert list(faults.states["preempted_requeued"].values()) == ["COMPLETED"]
    jobs = run.jobs("preempted_requeued")
    assert len(jobs) == 2 and len({one["slurm"]["job"] for one in jobs}) == 1
    assert jobs[1]["first_step"] >= faults.saved["preempted_requeued"]
    run.assert_equal_to_undisturbed("preempted_requeued")


def test_a_preempted_job_that_is_not_put_back_goes_on_in_another(run: Run, faults: Faults) -> None:
    """The plugin takes it for running, for ever."""
    assert sorted(faults.states["preempted_cancelled"].values()) == ["COMPLETED", "PREEMPTED"]
    assert "was preempted and not put back into the queue: it counts as failed" in faults.printed
    assert run.jobs("preempted_cancelled")[1]["first_step"] >= faults.saved["preempted_cancelled"]
    run.assert_equal_to_undisturbed("preempted_cancelled")


class Infrastructure:
    """The second run: one training, while the cluster itself fails in three ways."""

    def __init__(self, run: Run, queue: Queue) -> None:
        cluster, name = queue.cluster, "infrastructure"
        with queue.start(run.where, run.target(name), *run.config, *resources()) as process:
            watched = Watched(run, queue, process)
            job = watched.stall([name])[name]
            self.second = queue.snakemake(run.where, run.target(name), *run.config, *resources(), code=1)
            cluster.kill("slurmctld")
            time.sleep(2)
            cluster.start_controller()
            self.after_controller = watched.until(lambda: watched.state(name))
            self.node = watched.node(job)
            cluster.kill(f"slurmd-{self.node}")
            cluster.start_node(self.node)
            self.after_daemon = watched.until(lambda: watched.state(name))
            self.trainer_lives = Path(f"/proc/{run.trainer(name)}").is_dir()
            self.saved = run.saved(name)
            cluster.crash(self.node)
            self.job = job
            self.printed, _ = process.communicate(timeout=900)
            self.states = watched.state(name)
            cluster.start_node(self.node)
        self.code = process.returncode


@pytest.fixture(scope="module")
def infrastructure(run: Run, queue: Queue) -> Infrastructure:
    made = Infrastructure(run, queue)
    assert made.code == 0, made.printed[-8000:]
    return made


def test_a_second_snakemake_is_refused_in_one_message(infrastructure: Infrastructure) -> None:
    said = infrastructure.second
    assert "run tiny is being made in this folder by another snakemake: process " in said
    assert "LockException" not in said and "Directory cannot be locked" not in said and "Traceback" not in said


def test_a_controller_that_is_restarted_takes_nothing(infrastructure: Infrastructure) -> None:
    assert infrastructure.after_controller == {infrastructure.job: "RUNNING"}


def test_a_daemon_that_is_restarted_takes_nothing(infrastructure: Infrastructure) -> None:
    assert infrastructure.after_daemon == {infrastructure.job: "RUNNING"} and infrastructure.trainer_lives


def test_a_job_whose_node_crashes_goes_on_on_another(run: Run, infrastructure: Infrastructure) -> None:
    assert infrastructure.states == {infrastructure.job: "COMPLETED"}, "under its id"
    killed, done = run.jobs("infrastructure")
    assert (killed["outcome"], done["outcome"]) == ("killed", "done")
    assert done["first_step"] == infrastructure.saved > 0
    run.assert_equal_to_undisturbed("infrastructure")


def test_a_daemon_that_stays_away_has_the_job_go_on_elsewhere_and_the_first_trainer_end(run: Run, queue: Queue) -> None:
    """SLURM gives the node up, its trainer lives on: two of them for one training."""
    name = "daemon_away"
    with queue.start(run.where, run.target(name), *run.config, *resources()) as process:
        watched = Watched(run, queue, process)
        job = watched.stall([name])[name]
        node, first, saved = watched.node(job), run.trainer(name), run.saved(name)
        queue.cluster.kill(f"slurmd-{node}")
        try:
            watched.until(lambda: files.read_json(run.work(name) / CLAIM)["pid"] != first)
            elsewhere = watched.node(job)
            os.kill(first, signal.SIGCONT)
            printed, _ = process.communicate(timeout=900)
        finally:
            queue.cluster.start_node(node)
    assert process.returncode == 0, printed[-6000:]
    assert watched.state(name) == {job: "COMPLETED"} and elsewhere != node
    assert f"waiting for process {first}" in (run.results / f"logs/train_segment/{name}/1.log").read_text()
    ended, done = run.jobs(name)
    assert "another job of this training has begun" in ended["reason"]
    assert done["outcome"] == "done" and done["first_step"] == saved
    run.assert_equal_to_undisturbed(name)


def test_a_controller_that_is_away_when_a_job_is_submitted_is_waited_for(queue: Queue) -> None:
    cluster = queue.cluster
    cluster.kill("slurmctld")
    command = ["sh", str(SBATCH), "--parsable", "-o", "/dev/null", "--wrap", "true"]
    with subprocess.Popen(command, env=cluster.env, stdout=subprocess.PIPE, text=True) as submitting:
        time.sleep(1)
        cluster.start_controller()
        said, _ = submitting.communicate(timeout=120)
    assert submitting.returncode == 0 and said.strip().isdigit()


def test_a_killed_snakemake_is_started_again_and_its_jobs_are_not_made_twice(run: Run, queue: Queue) -> None:
    """No --unlock, and nothing is cancelled by hand."""
    asked = [run.target("killed"), *run.config, *resources()]
    with queue.start(run.where, *asked) as process:
        job = Watched(run, queue, process).stall(["killed"])["killed"]
        process.kill()
    with queue.start(run.where, *asked) as process:
        watched = Watched(run, queue, process)
        watched.until(lambda: watched.state("killed").keys() - {job})
        ended = watched.state("killed")[job]
        printed, _ = process.communicate(timeout=900)
    assert process.returncode == 0, printed[-8000:]
    assert "jobs of a snakemake that was killed are in the queue" in printed and job in printed
    assert ended == "CANCELLED", "before the next one is submitted"
    first, *_, last = run.jobs("killed")
    assert first["outcome"] == "signal" and last["first_step"] == first["last_step"] > 0
    run.assert_equal_to_undisturbed("killed")


@pytest.mark.long  # six attempts, each looked at later than the one before
def test_a_full_disk_is_one_clear_error_and_what_is_done_stays_done(run: Run, queue: Queue) -> None:
    """A limit on the size of files, which SLURM hands on to the jobs, stands for the disk."""
    asked = [run.target("full_disk"), *run.config, *resources()]
    limit = ["prlimit", "--fsize=300000", *COMMAND]
    done = subprocess.run(
        [*limit, *asked], cwd=run.where, env=queue.cluster.env, capture_output=True, text=True, timeout=900
    )
    assert done.returncode == 1, done.stdout[-6000:] + done.stderr[-6000:]
    log = (run.results / "logs/train_segment/full_disk/1.log").read_text()
    assert "no room left to write segment-1" in log and "(said by the attempt before; attempt 6 was not made)" in log
    assert not (run.where / run.target("full_disk")).exists()
    assert list(run.work("full_disk").glob("checkpoint-*")) == []
    queue.snakemake(run.where, *asked)
    run.assert_equal_to_undisturbed("full_disk")


def test_a_job_longer_than_its_partition_allows_is_refused_before_the_first_one(run: Run, queue: Queue) -> None:
    before = queue.cluster.run("squeue", "-h", "-t", "all", "-o", "%i")
    asked = resources(runtime="10000")
    said = queue.snakemake(run.where, run.target("without_python"), *run.config, *asked, code=1)
    assert "train_segment: runtime 6.9 d is more than partition gpu allows, 12.0 h" in said
    assert "set its runtime to 720 or less" in said and "Traceback" not in said
    assert queue.cluster.run("squeue", "-h", "-t", "all", "-o", "%i") == before


def test_a_node_without_python_fails_the_job_and_the_log_says_so(run: Run, queue: Queue, tmp_path: Path) -> None:
    """The Python that started snakemake, gone when the job begins: as on a node that does not see its folder."""
    python = tmp_path / "venv"
    python.symlink_to(Path(sys.executable).parent.parent)
    name = "without_python"
    command = [str(python / "bin" / "python"), *COMMAND[1:], run.target(name), *run.config, *resources()]
    queue.cluster.run("scontrol", "update", "partitionname=gpu", "state=down")
    with subprocess.Popen(
        command, cwd=run.where, env=queue.cluster.env, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
    ) as process:
        try:
            watched = Watched(run, queue, process)
            watched.until(lambda: "PENDING" in watched.state(name).values())
            python.rename(tmp_path / "away")
            queue.cluster.run("scontrol", "update", "partitionname=gpu", "state=up")
            watched.until(lambda: "FAILED" in watched.state(name).values())
            (tmp_path / "away").rename(python)
            printed, _ = process.communicate(timeout=900)
        except BaseException:
            process.kill()
            raise
    assert process.returncode == 0, printed[-6000:]
    [failed] = re.findall(r"SLURM-job '(\d+)' failed, SLURM status is: 'FAILED'", printed)
    log = run.where / f".snakemake/slurm_logs/rule_train_segment/{name}_1/{failed}.log"
    assert f"{python}/bin/python" in log.read_text() and "not found" in log.read_text()
    run.assert_equal_to_undisturbed(name)
