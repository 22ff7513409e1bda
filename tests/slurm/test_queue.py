"""`snakemake --profile slurm` on a real, private cluster: jobs, environments, training that the queue interrupts."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import time
from pathlib import Path
from typing import Any

import pytest
import yaml

import conda_stand_in
from slurm_cluster import Queue, wait_until
from support import ROOT, clone, planned, snakemake
from suture import beat, files

pytestmark = pytest.mark.slurm

TINY = "tests/dag/tiny.yaml"
RULES = "".join(path.read_text() for path in sorted((ROOT / "rules").glob("*.smk")))
LOCAL = {
    rule
    for named in re.findall(r"(?s)localrules:\n(.*?)\n\n", (ROOT / "Snakefile").read_text() + RULES)
    for rule in re.findall(r"\w+", named)
}
# Long enough to be stopped three times on a fast machine.
STEPS = 600
# Of the minute that the job with a deadline has, 45 s are for training.
MINUTE = 60


class Run:
    """The tiny run with its first two experiments, made on the cluster in the stand-in's environments.

    Attributes:
        conda: the stand-in's folder for PATH.
        jobs: what the dry run before it planned, and ``left`` what the one after it did.
        ended: the jobs of the cluster that it took.
    """

    def __init__(self, where: Path, conda: Path) -> None:
        self.where, self.conda = where, conda
        self.results = where / "results" / "tiny"
        self.tiny = yaml.safe_load((where / TINY).read_text())
        self.jobs: dict[str, int] = {}
        self.left: dict[str, int] = {}
        self.ended: list[dict[str, str]] = []

    def local(self, *args: object) -> str:
        """Runs snakemake without the cluster, in the same environments."""
        return snakemake(self.where, *args, "--sdm", "conda", path=self.conda)

    def config(self, name: str, experiments: dict[str, Any]) -> tuple[str, str]:
        """Writes a config of the same run with other experiments; returns the options that take it."""
        path = self.where / f"{name}.yaml"
        path.write_text(yaml.safe_dump(self.tiny | {"experiments": experiments}))
        return ("--configfile", path.name)

    def experiment(self, name: str, **train: Any) -> dict[str, Any]:
        """An experiment of the tiny run without baselines, and with some training options changed."""
        base = self.tiny["experiments"][name]
        return {**base, "baselines": [], "train": {**base["train"], **train}}


@pytest.fixture(scope="module")
def run(queue: Queue, tmp_path_factory: pytest.TempPathFactory) -> Run:
    conda = conda_stand_in.install(tmp_path_factory.mktemp("conda") / "stand-in")
    made = Run(clone(tmp_path_factory.mktemp("run")), conda)
    config = made.config("queue", {name: made.experiment(name) for name in ("one", "two")})
    made.jobs = planned(queue.snakemake(made.where, "-n", *config, conda=conda))
    before = len(queue.cluster.jobs())
    queue.snakemake(made.where, *config, conda=conda)
    # SLURM writes a job down after Snakemake has seen its end.
    queue.cluster.await_empty()
    made.ended = queue.cluster.jobs()[before:]
    made.left = planned(queue.snakemake(made.where, "-n", *config, conda=conda))
    return made


def contents(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in sorted(folder.iterdir())}


def test_each_rule_is_a_job_of_the_queue_and_a_second_run_has_nothing_to_do(run: Run, queue: Queue) -> None:
    assert {"cut_videos", "cache_features", "train_segment", "export_model", "predict", "report"} <= set(run.jobs)
    assert len(run.ended) == sum(count for rule, count in run.jobs.items() if rule not in LOCAL)
    assert {(job["JobState"], job["Partition"]) for job in run.ended} == {("COMPLETED", "cpu"), ("COMPLETED", "gpu")}
    assert run.left == {}
    assert (run.results / "report.html").is_file() and (run.results / "metrics.json").is_file()
    entries = files.read_jsonl(run.results / "ledger.jsonl")
    assert len(entries) == run.jobs["train_segment"] and all(entry["slurm"] for entry in entries)


def test_each_rule_runs_in_its_own_environment_which_has_what_it_needs(run: Run) -> None:
    """With a stand-in for conda: the environments hold the pinned packages, taken from this machine, and no others."""
    used = {}
    for note in (run.where / ".snakemake" / "conda").glob("*/used.txt"):
        made_from = (note.parent / "made-from.yaml").read_text()
        used[re.search(r"workflow/scripts/(\w+)\.py", made_from)[1]] = {Path(x).stem for x in note.read_text().split()}
    commands = dict(re.findall(r"(?s)\brule (\w+):.*?exec python workflow/scripts/(\w+)\.py", RULES))
    assert set(used) == {commands[rule] for rule in run.jobs if rule != "all"}
    assert all(command in scripts for command, scripts in used.items())


def test_segments_of_the_queue_equal_one_run_here_that_never_stopped(run: Run) -> None:
    """All weights and adapters with a features cache: optimiser, scheduler, random states and history too."""
    whole = run.config("whole", {f"whole-{name}": run.experiment(name, steps_per_job=4) for name in ("one", "two")})
    targets = [f"results/tiny/train/whole-{name}/segment-1" for name in ("one", "two")]
    run.local(*targets, *whole)
    for name in ("one", "two"):
        queued = contents(run.results / "train" / name / "segment-2")
        here = contents(run.results / "train" / f"whole-{name}" / "segment-1")
        assert "optimizer.pt" in here and sorted(queued) == sorted(here)
        assert [part for part in here if queued[part] != here[part]] == []


def test_training_interrupted_in_every_way_equals_one_that_was_not(run: Run, queue: Queue) -> None:
    """SIGTERM as the queue sends it, SIGKILL, then the job's own deadline; each retry goes on from what was saved."""
    long = {"max_steps": STEPS, "steps_per_job": STEPS, "save_steps": 10}
    config = run.config("long", {name: run.experiment("one", **long) for name in ("long", "undisturbed")})
    work = run.results / "work" / "long" / "segment-1"

    def running() -> set[str]:
        return set(queue.running("rule_train_segment_wildcards_long_1"))

    def trainer() -> int:
        """The process that trains, by its last sign of life."""
        pid: int = files.read_json(work / beat.NAME)["pid"]
        return pid

    def started_saving(process: subprocess.Popen[str], earlier: set[str]) -> set[str]:
        """Waits for a save by another job than those before; returns its id."""
        before = set(work.glob("checkpoint-*/complete.json")) if earlier else set()
        wait_until(lambda: set(work.glob("checkpoint-*/complete.json")) - before and running() - earlier, process)
        return running() - earlier

    # The list replaces the profile's.
    ask = ["slurm_partition=gpu", "gpu=1", "mem_mb=64000", "runtime=1 if attempt == 3 else 20"]
    ask = [f"train_segment:{one}" for one in ask]
    with queue.start(
        run.where, "results/tiny/train/long/segment-1", *config, "--set-resources", *ask, conda=run.conda
    ) as process:
        [job] = started_saving(process, set())
        queue.cluster.run("scancel", "--signal=TERM", job)
        wait_until(lambda: job not in running(), process)
        [killed] = started_saving(process, {job})
        os.kill(trainer(), signal.SIGKILL)
        wait_until(lambda: killed not in running(), process)
        started_saving(process, {job, killed})
        # However fast the machine, the minute ends before the steps do: a node that stalls.
        stalled = trainer()
        os.kill(stalled, signal.SIGSTOP)
        time.sleep(MINUTE)
        os.kill(stalled, signal.SIGCONT)
        printed, _ = process.communicate(timeout=900)
    assert process.returncode == 0, printed[-6000:]
    entries = [one for one in files.read_jsonl(run.results / "ledger.jsonl") if one["experiment"] == "long"]
    outcomes = [entry["outcome"] for entry in entries]
    assert outcomes[:3] == ["signal", "killed", "deadline"] and outcomes[-1] == "done"
    # Each went on from where the one before had saved; the killed one had saved at most 10 steps before its end.
    assert entries[1]["first_step"] == entries[0]["last_step"]
    assert all(entry["first_step"] > 0 for entry in entries[1:])
    assert len({entry["slurm"]["job"] for entry in entries}) == len(entries), "a retry is another job"
    run.local("results/tiny/train/undisturbed/segment-1", *config)
    queued, here = (contents(run.results / "train" / name / "segment-1") for name in ("long", "undisturbed"))
    assert [part for part in here if queued.get(part) != here[part]] == []


def test_a_node_without_conda_fails_the_job_and_the_log_says_so(run: Run, queue: Queue) -> None:
    """It was on the PATH of whoever started snakemake, and is gone when the job begins."""
    short = {"max_steps": 4, "steps_per_job": 4}
    config = run.config("conda", {name: run.experiment("one", **short) for name in ("without_conda", "with_conda")})
    target, comment = "results/tiny/train/{}/segment-1", "rule_train_segment_wildcards_without_conda_1"
    away = run.conda.with_name("away")
    queue.cluster.run("scontrol", "update", "partitionname=gpu", "state=down")
    with queue.start(run.where, target.format("without_conda"), *config, conda=run.conda) as process:
        try:
            wait_until(lambda: "PENDING" in queue.states(comment).values(), process)
            run.conda.rename(away)
            queue.cluster.run("scontrol", "update", "partitionname=gpu", "state=up")
            wait_until(lambda: "FAILED" in queue.states(comment).values(), process)
        finally:
            if away.is_dir():
                away.rename(run.conda)
        printed, _ = process.communicate(timeout=900)
    assert process.returncode == 0, printed[-6000:]
    [failed] = [job for job, state in queue.states(comment).items() if state == "FAILED"]
    log = run.where / f".snakemake/slurm_logs/rule_train_segment/without_conda_1/{failed}.log"
    assert "Is conda installed and accessible?" in log.read_text()
    run.local(target.format("with_conda"), *config)
    queued, here = (contents(run.where / target.format(name)) for name in ("without_conda", "with_conda"))
    assert [part for part in here if queued.get(part) != here[part]] == []


def test_a_cancelled_job_ends_the_run_and_without_conda_it_says_where_jobs_run(queue: Queue, tmp_path: Path) -> None:
    """Under sacct Snakemake would wait for ever."""
    where = clone(tmp_path)
    with queue.start(where, "results/tiny/source/videos/case_9101.mp4", "--configfile", TINY) as process:
        [job, *_] = wait_until(lambda: queue.running("rule_draw_case_wildcards_case_9101"), process)
        queue.cluster.run("scancel", job)
        printed, _ = process.communicate(timeout=300)
    assert process.returncode == 1
    assert "SLURM status is: 'CANCELLED" in printed
    assert "No conda on PATH: jobs run in" in printed
