"""sweep.py on a real SLURM cluster: four values, the sweep killed in the middle, its jobs found again."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from slurm_cluster import Queue
from support import clone, run_script, snakemake
from sweep_run import CONFIG, RUN, entries, started, sweep, table, wait_until, write_config

pytestmark = pytest.mark.slurm

RATES = (0.001, 0.002, 0.003, 0.004)
POINTS = [f"one.learning_rate-{rate}" for rate in RATES]
SET = ("--set", f"train.learning_rate={','.join(map(str, RATES))}", "--executor", "slurm")
# Both cards of a node for each: two points run, two wait in the queue.
ASK = ("--resources", "gpu=2", "runtime=30")


def test_a_sweep_killed_in_the_middle_finds_its_jobs_and_doubles_none(queue: Queue, tmp_path: Path) -> None:
    where = clone(tmp_path)
    write_config(where, steps_per_job=4)
    snakemake(where, "--configfile", CONFIG, "--omit-from", "train_segment", "--", f"{RUN}/metrics/one.json")
    before = len(queue.cluster.jobs())

    def done() -> list[str]:
        return [point for point in POINTS if (where / RUN / "metrics" / f"{point}.json").is_file()]

    def queued() -> set[str]:
        return set(queue.cluster.run("squeue", "-h", "-o", "%j").split())

    with started(where, *SET, *ASK, env=queue.cluster.env) as process:
        wait_until(done, process, where)
        process.kill()
    waiting = {re.sub(r"^tiny/|@\w+$", "", name) for name in queued()}
    assert waiting and waiting <= set(POINTS), "the jobs go on without the sweep"
    printed = sweep(where, *SET, *ASK, env=queue.cluster.env)
    assert re.search(r"one\.learning_rate-0\.00\d: found at work \(\d+\)", printed)
    assert ": job " not in printed, "nothing is submitted twice"

    queue.cluster.await_empty()
    jobs = queue.cluster.jobs()[before:]
    assert {(job["JobState"], job["Partition"]) for job in jobs} == {("COMPLETED", "gpu")} and len(jobs) == 4
    for point in POINTS:
        (entry,) = entries(where, point)
        assert entry.outcome == "done" and entry.slurm["job"] in {job["JobId"] for job in jobs}
    rows = table(where)
    assert {row["point"]: row["state"] for row in rows} == dict.fromkeys(POINTS, "done")
    assert [row["validation"] for row in rows] == sorted(row["validation"] for row in rows)
    compared = run_script("compare", "--runs", "tiny/sweeps/one", "--results", where / "results", "--resamples", 100)
    assert compared.count("### ") == 6, "each of the four with each other"
    assert ": job " not in sweep(where, *SET, *ASK, env=queue.cluster.env), "and then there is nothing to make"
