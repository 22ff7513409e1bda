"""What the SLURM plugin is told of jobs that the queue took away, and how it submits while nobody answers."""

from __future__ import annotations

import asyncio
import inspect
import os
import subprocess
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import snakemake_executor_plugin_slurm as real

from suture import slurm_plugin
from suture.slurm_plugin import SBATCH, Watch


class Queue:
    """Answers of squeue, one after another; the last one for ever."""

    def __init__(self, *answers: dict[str, str] | None) -> None:
        self.answers = list(answers)
        self.said: list[str] = []
        self.watch = Watch(self.query, again=0, say=self.said.append)

    async def query(self, command: str, logger: Any) -> tuple[dict[str, str] | None, float | None]:
        answer = self.answers.pop(0) if len(self.answers) > 1 else self.answers[0]
        return (None, None) if answer is None else (dict(answer), 0.1)

    def look(self) -> dict[str, str] | None:
        return asyncio.run(self.watch("squeue", None))[0]


@pytest.mark.parametrize("state", ["PREEMPTED", "NODE_FAIL"])
def test_a_job_that_was_lost_for_good_has_failed_and_is_named_once(state: str) -> None:
    queue = Queue({"7": "RUNNING"}, {"7": state})
    assert queue.look() == {"7": "RUNNING"}
    assert queue.look() == queue.look() == {"7": "FAILED"}
    assert len(queue.said) == 1 and "SLURM job 7" in queue.said[0]


@pytest.mark.parametrize("state", ["PREEMPTED", "NODE_FAIL"])
def test_a_job_that_is_put_back_is_waited_for(state: str) -> None:
    queue = Queue({"7": state, "8": "RUNNING"}, {"7": "PENDING", "8": "RUNNING"})
    assert queue.look() == {"7": "PENDING", "8": "RUNNING"} and queue.said == []


def test_sacct_s_words_for_a_cancelled_job_are_those_the_plugin_knows() -> None:
    assert Queue({"7": "CANCELLED by 1000"}).look() == {"7": "CANCELLED"}


def test_a_job_that_the_queue_forgets_is_looked_for_among_the_files() -> None:
    """squeue forgets ended jobs after MinJobAge, and the plugin asks as rarely as once in 3 minutes."""
    queue = Queue({"7": "RUNNING", "8": "COMPLETED"}, {}, None, {})
    assert queue.look() == {"7": "RUNNING", "8": "COMPLETED"}
    assert queue.look() == {}, "once may be the queue's mistake"
    assert queue.look() is None
    assert queue.look() == {"7": "UNKNOWN"}
    assert "no longer knows job 7" in queue.said[0] and len(queue.said) == 1


def test_the_plugin_that_is_installed_has_what_is_replaced() -> None:
    source = inspect.getsource(real.Executor)
    assert "await query_job_status(\n                    status_command, self.logger\n" in source
    assert "call = get_submit_command(" in source and inspect.iscoroutinefunction(real.query_job_status)
    assert 'elif status == "UNKNOWN":' in source and 'elif status == "PREEMPTED"' in source


def test_both_are_replaced() -> None:
    plugin = SimpleNamespace(query_job_status=None, get_submit_command=lambda *_: "sbatch --parsable -p cpu")
    slurm_plugin.correct(plugin)
    assert isinstance(plugin.query_job_status, Watch)
    assert plugin.get_submit_command() == f"sh {SBATCH} --parsable -p cpu"


def submit(folder: Path, script: str, patience: int) -> subprocess.CompletedProcess[str]:
    (folder / "sbatch").write_text(f"#!/bin/sh\ncd {folder}; echo tried >> tries\n{script}")
    (folder / "sbatch").chmod(0o755)
    (folder / "sleep").write_text("#!/bin/sh\n")
    (folder / "sleep").chmod(0o755)
    env = os.environ | {"PATH": f"{folder}:{os.environ['PATH']}", "SUTURE_QUEUE_PATIENCE_SECONDS": str(patience)}
    return subprocess.run(["sh", SBATCH, "--wrap=a b"], env=env, capture_output=True, text=True, timeout=60)


GONE = "echo 'sbatch: error: Batch job submission failed: Unable to contact slurm controller (connect failure)' >&2"


def test_a_controller_that_does_not_answer_is_asked_again_and_its_answer_is_handed_on(tmp_path: Path) -> None:
    done = submit(
        tmp_path, f'[ "$(wc -l < tries)" -gt 2 ] || {{ {GONE}; exit 1; }}\necho "17 $1"; echo careful >&2\n', 60
    )
    assert (done.returncode, done.stdout, done.stderr) == (0, "17 --wrap=a b\n", "careful\n")
    assert len((tmp_path / "tries").read_text().split()) == 3


def test_its_no_is_final_and_so_is_an_answer_that_was_lost(tmp_path: Path) -> None:
    """A job whose acknowledgement was lost may be in the queue: asked again it would be there twice."""
    done = submit(tmp_path, "echo 'Socket timed out on send/recv operation' >&2; exit 1\n", 60)
    assert done.returncode == 1 and "timed out" in done.stderr
    assert len((tmp_path / "tries").read_text().split()) == 1
    (tmp_path / "tries").unlink()
    assert submit(tmp_path, f"{GONE}; exit 1\n", 0).returncode == 1, "patience has an end"
