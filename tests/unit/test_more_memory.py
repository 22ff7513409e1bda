"""More memory for a job that ran out of it, and only for that one."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from suture import more_memory


def log(folder: Path, job: int, text: str, *, when: float = 100.0) -> None:
    path = folder / "rule_train_segment" / "one_1" / f"{job}.log"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(f"Building DAG of jobs...\n{text}\nExiting because a job execution failed.\n")
    os.utime(path, (when, when))


@pytest.mark.parametrize(
    "said",
    [
        "slurmstepd: error: Detected 1 oom_kill event in StepId=17.0. Some of the step tasks have been OOM Killed.",
        "slurmstepd: error: Detected 1 oom-kill event(s) in StepId=17.0 cgroup.",
        "srun: error: n1: task 0: Out Of Memory",
        "slurmstepd: error: StepId=27.1 exceeded memory limit (734003200 > 314572800), being killed",
        "slurmstepd-n2: error: StepId=3.0 exceeded memory limit (485228544 > 471859200), being killed",
    ],
)
def test_slurm_s_words_for_it_are_known(tmp_path: Path, said: str) -> None:
    log(tmp_path, 17, said)
    assert more_memory.times(tmp_path, "train_segment", ["one", "1"], since=50) == 1


@pytest.mark.parametrize(
    "said",
    [
        "slurmstepd: error: *** STEP 17.0 ON n1 CANCELLED AT 2026-11-21T12:00:00 DUE TO TIME LIMIT ***",
        "torch.OutOfMemoryError: CUDA out of memory. Tried to allocate 2.00 GiB",
        "srun: error: n1: task 0: Exited with exit code 75",
    ],
)
def test_other_ends_are_none(tmp_path: Path, said: str) -> None:
    log(tmp_path, 17, said)
    assert more_memory.times(tmp_path, "train_segment", ["one", "1"], since=50) == 0


def test_only_this_job_s_logs_of_this_run_count(tmp_path: Path) -> None:
    said = "srun: error: n1: task 0: Out Of Memory"
    for job, when in ((1, 10.0), (2, 60.0), (3, 70.0)):
        log(tmp_path, job, said, when=when)
    assert more_memory.times(tmp_path, "train_segment", ["one", "1"], since=50) == 2
    assert more_memory.times(tmp_path, "train_segment", ["two", "1"], since=50) == 0
