"""Training over nodes of the queue: two real SLURM nodes, joined by srun, equal one process to the rounding of sums."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml

from same_training import differences
from slurm_cluster import Queue
from support import clone, snakemake
from suture import files

pytestmark = pytest.mark.slurm

TINY = "tests/dag/tiny.yaml"
CLOSE = 1e-5
# What docs/slurm.md says for two nodes with a GPU each. The list replaces the profile's.
TWO_NODES = ["slurm_partition=gpu", "gpu=2", "nodes=2", "tasks=2", "tasks_per_gpu=0", "mpi=srun"]
TWO_NODES += ["cpus_per_gpu=2", "mem_mb=8000", "runtime=30", "slurm_extra='--signal=TERM@60'"]


@pytest.fixture(scope="module")
def where(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A clone in which one process has trained ``alone``, with all that it needs."""
    made = clone(tmp_path_factory.mktemp("nodes"))
    tiny = yaml.safe_load((made / TINY).read_text())
    base: dict[str, Any] = {**tiny["experiments"]["one"], "baselines": []}

    def experiment(**train: Any) -> dict[str, Any]:
        return {**base, "train": {**base["train"], "max_steps": 6, "steps_per_job": 6, "save_steps": 3, **train}}

    experiments = {"alone": experiment(), "dealt": experiment(), "sharded": experiment(fsdp=True)}
    (made / "nodes.yaml").write_text(yaml.safe_dump(tiny | {"experiments": experiments}))
    snakemake(made, "results/tiny/train/alone/segment-1", "--configfile", "nodes.yaml")
    return made


def test_two_nodes_train_as_one_process_does(where: Path, queue: Queue) -> None:
    """By DDP, and by FSDP; the same samples a step, rank and meeting place by submitit."""
    names = ("dealt", "sharded")
    targets = [f"results/tiny/train/{name}/segment-1" for name in names]
    ask = [f"train_segment:{one}" for one in TWO_NODES]
    queue.snakemake(where, *targets, "--configfile", "nodes.yaml", "--set-resources", *ask)
    trained = where / "results" / "tiny" / "train"
    for name in names:
        said = (where / "results" / "tiny" / "logs" / "train_segment" / name / "1.log").read_text()
        assert "4 samples a step = 2 processes x 2 a batch x 1 batches" in said
        found = differences(trained / "alone" / "segment-1", trained / name / "segment-1")
        assert max(found.values()) < CLOSE, (name, found)
    entries = [one for one in files.read_jsonl(where / "results/tiny/ledger.jsonl") if one["experiment"] in names]
    assert len(entries) == 2 and all(entry["outcome"] == "done" for entry in entries), "one entry for each job"
    jobs = {job["JobId"]: job for job in queue.cluster.jobs()}
    assert {jobs[entry["slurm"]["job"]]["NodeList"] for entry in entries} == {"n[1-2]"}
