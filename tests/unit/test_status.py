"""Heartbeat and `make status`: what a user sees of trainings that run, wait, ended, or died."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from support import SCRIPTS, run_script
from suture import beat, files, ledger, machine
from suture.beat import Beat, Pace
from suture.status import duration, table, trainings

NOW = ledger.moment("2026-11-21T12:00:00Z")


def make_beat(folder: Path, **changes: Any) -> Beat:
    """Writes a heartbeat of this process, seen 3 s before NOW."""
    fields: dict[str, Any] = {
        "experiment": folder.parent.name,
        "state": "running",
        "reason": "",
        "first_step": 200,
        "step": 213,
        "until_step": 400,
        "max_steps": 400,
        "loss": 0.4123,
        "learning_rate": 1e-4,
        "seconds_per_step": 2.0,
        "segment_seconds_left": 374.0,
        "run_seconds_left": 374.0,
        "started": ledger.utc(NOW - 60),
        "updated": ledger.utc(NOW - 3),
        **beat.here(),
    }
    made = Beat(**fields | changes)
    files.write_json(folder / beat.NAME, made.to_json())
    return made


def publish(results: Path, run: str, experiment: str, segment: int, step: int, stopped: str | None = None) -> None:
    folder = results / run / "train" / experiment / f"segment-{segment}"
    card = {"schema": 1, "step": step, "stopped": stopped, "identity": {"max_steps": 400}}
    files.write_json(folder / "suture.json", card)
    files.write_jsonl(folder / "log.jsonl", [{"step": step, "loss": 0.5}, {"step": step, "eval_loss": 0.6}])


def configure(results: Path, run: str, *names: str) -> None:
    train = "{train: {max_steps: 400, steps_per_job: 200}}"
    files.write_text(
        results / run / "config.resolved.yaml", "experiments:\n" + "".join(f"  {name}: {train}\n" for name in names)
    )


def work(results: Path, run: str, experiment: str, segment: int) -> Path:
    return results / run / "work" / experiment / f"segment-{segment}"


@pytest.fixture
def results(tmp_path: Path) -> Path:
    """One training of each state."""
    configure(tmp_path, "a", "done", "running", "waiting", "new", "gone", "silent", "failed")
    publish(tmp_path, "a", "done", 1, 200)
    publish(tmp_path, "a", "done", 2, 400)
    make_beat(work(tmp_path, "a", "done", 2), state="done", step=400)
    publish(tmp_path, "a", "running", 1, 200)
    make_beat(work(tmp_path, "a", "running", 2), slurm={"job": "77"})
    files.write_text(tmp_path / "a" / "logs" / "train_segment" / "running" / "2.log", "...\n")
    publish(tmp_path, "a", "waiting", 1, 200)
    make_beat(work(tmp_path, "a", "gone", 1), process=1)
    make_beat(work(tmp_path, "a", "silent", 1), host="node9", updated=ledger.utc(NOW - 500))
    make_beat(work(tmp_path, "a", "failed", 1), state="failed", reason="TrainingFailed: the loss is nan at step 213")
    return tmp_path


def test_each_training_has_its_state(results: Path) -> None:
    found, unread = trainings(results, NOW)
    assert unread == []
    by_name = {one.experiment: one for one in found}
    assert {name: one.state for name, one in by_name.items()} == {
        "done": "done",
        "running": "running",
        "waiting": "waiting",
        "new": "not started",
        "gone": "gone",
        "silent": "silent",
        "failed": "failed",
    }
    running = by_name["running"]
    assert (running.segments, running.of_segments, running.segment) == (1, 2, 2)
    assert (running.step, running.max_steps, running.loss) == (213, 400, 0.4123)
    assert (running.seconds_left, running.silent_for) == (374.0, 3)
    assert running.host == f"{machine.host()}, job 77"
    assert running.log is not None and running.log.endswith("a/logs/train_segment/running/2.log")
    assert (by_name["done"].step, by_name["done"].loss) == (400, 0.5)
    # What does not live has no time left that could be believed.
    assert [by_name[name].seconds_left for name in ("gone", "silent", "failed")] == [None] * 3
    assert by_name["silent"].silent_for == 500


def test_the_table_fits_80_columns_and_names_the_reason(results: Path) -> None:
    configure(results, "b", "an-experiment-with-a-name-much-longer-than-the-table-has-room-for")
    text = table(trainings(results, NOW)[0])
    assert max(map(len, text.replace(str(results), "results").splitlines())) <= 80
    assert "last sign of life 3 s ago" in text
    assert "no sign of life for 8 min, was on node9" in text
    assert "its process ended without a word" in text
    assert "the loss is nan at step 213" in text
    assert "an-experiment-with-a-na… " in text


def test_slow_steps_are_no_silence(tmp_path: Path) -> None:
    minute = {"host": "node9", "updated": ledger.utc(NOW - 90)}
    fast = make_beat(tmp_path / "x" / "1", seconds_per_step=1.0, **minute)
    slow = make_beat(tmp_path / "x" / "2", seconds_per_step=30.0, **minute)
    assert (fast.life(NOW), slow.life(NOW)) == ("silent", "alive")
    # A node whose clock is ahead is not silent, and not from the future.
    assert make_beat(tmp_path / "x" / "3", host="node9", updated=ledger.utc(NOW + 300)).age(NOW) == 0


def test_a_run_without_its_configuration_and_an_early_stop(tmp_path: Path) -> None:
    publish(tmp_path, "r", "early", 1, 150, stopped="the training loss has stopped falling")
    (one,) = trainings(tmp_path, NOW)[0]
    assert (one.state, one.of_segments, one.note) == ("done", None, "the training loss has stopped falling")
    configure(tmp_path, "r", "early")
    (one,) = trainings(tmp_path, NOW)[0]
    assert (one.state, one.of_segments) == ("waiting", 2)  # the segments that are left hand its checkpoint on
    publish(tmp_path, "s", "first", 1, 200)
    publish(tmp_path, "s", "whole", 1, 400)
    by_name = {one.experiment: one for one in trainings(tmp_path, NOW)[0]}
    assert (by_name["first"].state, by_name["whole"].state) == ("waiting", "done")
    assert by_name["first"].max_steps == 400


def test_a_broken_file_does_not_hide_the_other_trainings(results: Path) -> None:
    files.write_text(results / "b" / "config.resolved.yaml", "experiments: {x: [")
    files.write_text(work(results, "c", "broken", 1) / beat.NAME, "{")
    done = subprocess.run(
        [sys.executable, SCRIPTS / "status.py", "--results", results], capture_output=True, text=True, check=True
    )
    assert done.stderr.count("cannot be read:") == 2
    assert "running" in done.stdout


def test_the_command_is_for_people_and_for_programs(results: Path, tmp_path: Path) -> None:
    rows = json.loads(run_script("status", "--results", results, "--json"))
    assert [row["experiment"] for row in rows] == sorted(
        ["done", "failed", "gone", "new", "running", "silent", "waiting"]
    )
    assert run_script("status", "--results", tmp_path / "none").strip() == f"no training under {tmp_path / 'none'}"
    assert run_script("status", "--results", tmp_path / "none", "--json").strip() == "[]"


def test_pace_is_of_the_last_steps_and_the_mean_of_all() -> None:
    pace = Pace()
    assert (pace.mean, pace.recent) == (None, None)
    pace.begin(100, now=0.0)
    assert (pace.mean, pace.recent) == (None, None)
    for step in range(1, 41):
        pace.reach(100 + step, now=10.0 * step if step <= 20 else 200.0 + (step - 20))
    assert pace.recent == pytest.approx(1.0)
    assert pace.mean == pytest.approx(220 / 40)


def test_durations() -> None:
    assert [duration(s) for s in (3.2, 119, 600, 27000, 268000)] == ["3 s", "119 s", "10 min", "7.5 h", "3.1 d"]


def test_a_process_number_given_again_is_another_process() -> None:
    mine = machine.process_started(os.getpid())
    assert mine is not None and machine.process_started(os.getpid()) == mine
    with subprocess.Popen(["sleep", "0"]) as other:
        pid = other.pid
    assert machine.process_started(pid) is None


def train(folder: Path, heartbeat: Any = None, *, steps: int = 6, fail_at: int | None = None) -> Any:
    """Trains a line with the Trainer; returns the Trainer."""
    import torch
    from transformers import Trainer, TrainerCallback, TrainingArguments, set_seed

    class Line(torch.nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.line = torch.nn.Linear(3, 1)
            self.drop = torch.nn.Dropout(0.5)

        def forward(self, x: Any, labels: Any) -> dict[str, Any]:
            return {"loss": ((self.line(self.drop(x)) - labels) ** 2).mean()}

    class Fail(TrainerCallback):
        def on_step_end(self, args: Any, state: Any, control: Any, **_: Any) -> None:
            if state.global_step == fail_at:
                raise RuntimeError("the disk is on fire")

    set_seed(3)
    rows = [{"x": torch.randn(3), "labels": torch.randn(1)} for _ in range(8)]
    trainer = Trainer(
        model=Line(),
        args=TrainingArguments(
            str(folder), max_steps=steps, logging_steps=1, report_to="none", disable_tqdm=True, use_cpu=True, seed=3
        ),
        train_dataset=rows,
        callbacks=[Fail(), *([heartbeat] if heartbeat else [])],
    )
    trainer.train()
    return trainer


def make_heartbeat(path: Path, **changes: Any) -> Any:
    from suture.training.heartbeat import Heartbeat

    return Heartbeat(path, **{"experiment": "x", "until_step": 6, "max_steps": 12, "every": 0.0} | changes)


def test_a_heartbeat_tells_step_loss_and_what_is_left(tmp_path: Path) -> None:
    path = tmp_path / "work" / beat.NAME
    with make_heartbeat(path) as heartbeat:
        starting = beat.read(path)
        assert starting is not None and (starting.state, starting.step) == ("starting", 0)
        trainer = train(tmp_path, heartbeat)
    done = beat.read(path)
    assert done is not None
    assert (done.state, done.step, done.first_step, done.until_step, done.max_steps) == ("done", 6, 0, 6, 12)
    assert done.loss == trainer.state.log_history[-2]["loss"]
    assert done.learning_rate == trainer.state.log_history[-2]["learning_rate"]
    assert done.seconds_per_step is not None and done.seconds_per_step > 0
    assert done.segment_seconds_left == 0
    assert done.run_seconds_left == pytest.approx(6 * done.seconds_per_step)
    assert done.pid == os.getpid() and done.host == machine.host()
    assert abs(done.age(time.time())) < 60
    assert heartbeat.pace.mean is not None


def test_a_heartbeat_changes_nothing_of_what_is_learnt(tmp_path: Path) -> None:
    import torch

    with make_heartbeat(tmp_path / beat.NAME) as heartbeat:
        watched = train(tmp_path / "a", heartbeat)
    drawn = torch.rand(1)
    alone = train(tmp_path / "b")
    assert torch.equal(drawn, torch.rand(1))
    assert torch.equal(watched.model.line.weight, alone.model.line.weight)
    kept = [
        [{k: v for k, v in row.items() if "runtime" not in k and "second" not in k} for row in t.state.log_history]
        for t in (watched, alone)
    ]
    assert kept[0] == kept[1]


def test_a_heartbeat_tells_of_a_stop_before_the_end_and_of_a_failure(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HF_TOKEN", "disk is on fire")  # whatever is secret is not written
    path = tmp_path / beat.NAME
    with make_heartbeat(path) as heartbeat:
        train(tmp_path, heartbeat, steps=4)
    stopped = beat.read(path)
    assert stopped is not None and (stopped.state, stopped.step) == ("stopped", 4)
    with pytest.raises(RuntimeError), make_heartbeat(path) as heartbeat:
        train(tmp_path, heartbeat, fail_at=2)
    failed = beat.read(path)
    assert failed is not None and failed.state == "failed"
    assert failed.reason == "RuntimeError: the ***"
    with make_heartbeat(path):
        pass  # a segment that only hands a checkpoint on
    handed = beat.read(path)
    assert handed is not None and handed.state == "done"


def test_a_heartbeat_that_cannot_be_written_is_reported_once(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    files.write_text(tmp_path / "work", "a file where the folder should be")
    with make_heartbeat(tmp_path / "work" / beat.NAME) as heartbeat:
        assert train(tmp_path, heartbeat).state.global_step == 6
    assert capsys.readouterr().err.count("no heartbeat can be written") == 1


def test_beats_are_not_written_faster_than_asked(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    written = []
    monkeypatch.setattr(files, "write_json", lambda path, value: written.append(value["state"]))
    with make_heartbeat(tmp_path / beat.NAME, every=3600.0) as heartbeat:
        train(tmp_path, heartbeat)
    assert written == ["starting", "running", "done", "done"]
