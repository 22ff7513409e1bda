"""Jobs whose snakemake was killed: found by name and folder, cancelled or waited for; others are left alone."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from suture import orphans
from suture.errors import SutureError

UUID = "0f9cf3ab-5f3c-4b7a-9d0f-5d2f0e6f7a11"


@pytest.fixture
def queue(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A stand-in for squeue and scancel: rows of a file, and what was cancelled in another."""
    programs = tmp_path / "bin"
    programs.mkdir()
    rows = tmp_path / "rows"
    for name, script in {
        "squeue": f"cat {rows}",
        "scancel": f'echo "$@" >> {tmp_path}/cancelled; for job; do sed -i "/^$job|/d" {rows}; done',
    }.items():
        (programs / name).write_text(f"#!/bin/sh\n{script}\n")
        (programs / name).chmod(0o755)
    monkeypatch.setenv("PATH", f"{programs}:{os.environ['PATH']}")
    monkeypatch.setattr(orphans, "_EVERY", 0.05)
    rows.write_text(
        f"7|RUNNING|rule_train_segment_wildcards_one_1|suture-demo_{UUID}|/home/me/Suture\n"
        f"8|PENDING|rule_predict_wildcards_one|suture-demo_{UUID}|/home/me/Suture\n"
        f"9|RUNNING|rule_predict_wildcards_one|suture-demo_{UUID}|/home/me/elsewhere\n"
        f"10|RUNNING|rule_predict_wildcards_one|suture-demo-2_{UUID}|/home/me/Suture\n"
        "11|RUNNING|(null)|suture-demo_notes|/home/me/Suture\n"
    )
    return tmp_path


HERE = Path("/home/me/Suture")


def test_only_jobs_of_this_run_and_folder_are_cancelled(queue: Path, capsys: pytest.CaptureFixture[str]) -> None:
    orphans.settle_queue("suture-demo", HERE, "cancel", certain=True)
    assert (queue / "cancelled").read_text() == "7 8\n"
    said = capsys.readouterr().err
    assert len(said.splitlines()) == 1 and "jobs of a snakemake that was killed" in said
    assert "7 rule_train_segment_wildcards_one_1" in said and "cancelled; training goes on from its last save" in said
    orphans.settle_queue("suture-demo", HERE, "cancel", certain=True)
    assert capsys.readouterr().err == "", "nothing to say where there is none"


def test_they_are_waited_for_where_that_is_asked(queue: Path) -> None:
    ending = subprocess.Popen(["sh", "-c", f"sleep 0.5; sed -i '/^[78]|/d' {queue}/rows; touch {queue}/ended"])
    orphans.settle_queue("suture-demo", HERE, "wait", certain=True)
    assert (queue / "ended").exists() or ending.wait() == 0
    assert not (queue / "cancelled").exists()


def test_jobs_that_may_be_a_living_snakemake_s_are_never_cancelled(queue: Path) -> None:
    with pytest.raises(SutureError, match="jobs of this run are in the queue") as refused:
        orphans.settle_queue("suture-demo", HERE, "cancel", certain=False)
    assert "scancel 7 8" in str(refused.value) and not (queue / "cancelled").exists()


def test_jobs_that_do_not_end_are_named(queue: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (queue / "bin" / "scancel").write_text("#!/bin/sh\n")
    monkeypatch.setattr(orphans, "ENDING", 0.2)
    with pytest.raises(SutureError, match="do not end: 7 8"):
        orphans.settle_queue("suture-demo", HERE, "cancel", certain=True)


def test_a_queue_that_does_not_answer_is_an_error(queue: Path) -> None:
    (queue / "bin" / "squeue").write_text("#!/bin/sh\necho 'slurm_load_jobs error: Unable to contact' >&2; exit 1\n")
    with pytest.raises(SutureError, match=r"the queue does not answer.*Unable to contact"):
        orphans.queued("suture-demo", HERE)


def test_processes_of_a_killed_run_here_are_ended_and_the_queue_s_are_not(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(orphans, "_EVERY", 0.05)
    command = [sys.executable, "-c", "import time; print(flush=True); time.sleep(60)"]

    def start(**env: str) -> subprocess.Popen[bytes]:
        process = subprocess.Popen(command, env=os.environ | env, stdout=subprocess.PIPE)
        assert process.stdout is not None and process.stdout.readline()
        return process

    mine, queued = start(**{orphans.MARK: "h:1:2"}), start(**{orphans.MARK: "h:1:2", "SLURM_JOB_ID": "7"})
    other = start(**{orphans.MARK: "h:1:3"})
    try:
        assert orphans.processes("h:1:2") == [mine.pid]
        # An orphan's parent is init, which takes its end in; here it is this test.
        reaper = threading.Thread(target=mine.wait)
        reaper.start()
        orphans.settle_here("h:1:2", "cancel")
        reaper.join()
        assert queued.poll() is None and other.poll() is None and mine.returncode == -signal.SIGTERM
    finally:
        for process in (mine, queued, other):
            process.kill()
            process.wait()


def test_names_are_what_the_plugin_takes() -> None:
    assert orphans.queue_name("suture", "demo") == "suture-demo"
    assert orphans.queue_name("", "a.b") == "a-b" and len(orphans.queue_name("suture", "x" * 80)) == 50
    with pytest.raises(SutureError, match="orphans=kill"):
        orphans.way_of("kill")
