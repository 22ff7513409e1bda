"""Two trainers in one work folder: the later one waits for the earlier one, which ends at its next step."""

from __future__ import annotations

import subprocess
import threading
import time
from pathlib import Path
from typing import Any

import pytest
from transformers import TrainerControl, TrainerState, TrainingArguments

from suture import beat, files, ledger, machine
from suture.training.claim import NAME, Claim


def beat_of(pid: int, folder: Path, **changes: Any) -> None:
    fields: dict[str, Any] = {
        "experiment": "one",
        "state": "running",
        "reason": "",
        "first_step": 0,
        "step": 5,
        "until_step": 9,
        "max_steps": 9,
        "loss": None,
        "learning_rate": None,
        "seconds_per_step": 1.0,
        "run_seconds_left": None,
        "segment_seconds_left": None,
        "started": ledger.utc(time.time()),
        "updated": ledger.utc(time.time()),
        **beat.here(),
        "pid": pid,
        "process": machine.process_started(pid),
    }
    files.write_json(folder / beat.NAME, beat.Beat(**fields | changes).to_json())


def step(claim: Claim) -> None:
    claim.on_step_end(TrainingArguments(report_to="none"), TrainerState(global_step=6), TrainerControl())


def test_the_later_one_begins_when_the_earlier_one_has_ended(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with subprocess.Popen(["sleep", "60"]) as earlier:
        beat_of(earlier.pid, tmp_path)
        later = threading.Thread(target=Claim(tmp_path, patience=0.02).take)
        later.start()
        later.join(0.3)
        assert later.is_alive() and files.read_json(tmp_path / NAME)["pid"] != earlier.pid
        earlier.kill()
        earlier.wait()
        later.join(10)
    assert not later.is_alive() and f"waiting for process {earlier.pid}" in capsys.readouterr().out


def test_one_that_ended_its_own_or_silent_is_not_waited_for(tmp_path: Path) -> None:
    Claim(tmp_path).take()
    beat_of(1, tmp_path, state="stopped")
    Claim(tmp_path).take()
    beat_of(1, tmp_path, updated=ledger.utc(time.time() - 600))
    Claim(tmp_path).take()
    files.write_json(tmp_path / beat.NAME, {**files.read_json(tmp_path / beat.NAME), **beat.here()})
    Claim(tmp_path).take()


def test_the_earlier_one_ends_at_its_next_step_as_one_that_may_be_tried_again(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    claim = Claim(tmp_path)
    step(claim)
    claim.take()
    step(claim)
    files.write_json(tmp_path / NAME, {"host": "n2", "pid": 7, "process": 8})
    with pytest.raises(SystemExit) as ended:
        step(claim)
    assert ended.value.code == 75 and "process 7 on n2" in capsys.readouterr().err
