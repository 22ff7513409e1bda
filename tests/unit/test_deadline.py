"""A job with a deadline ends before it, with the slowest step and save seen so far to spare."""

from __future__ import annotations

import time
from dataclasses import dataclass
from pathlib import Path

import pytest
from transformers import TrainerControl, TrainerState, TrainingArguments

from suture.training.callbacks import StopInTime


@dataclass
class Job:
    """Steps and saves of given lengths, in seconds, as the library makes them."""

    stop: StopInTime
    arguments: TrainingArguments
    clock: list[float]

    def step(self, seconds: float, *, save: float) -> TrainerControl:
        state, control = TrainerState(), TrainerControl()
        self.stop.on_step_begin(self.arguments, state, control)
        self.clock[0] += seconds
        self.stop.on_step_end(self.arguments, state, control)
        if control.should_save:
            self.clock[0] += save
            self.stop.on_save(self.arguments, state, control)
        return control


def job(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, deadline: float | None) -> Job:
    clock = [0.0]
    monkeypatch.setattr(time, "monotonic", lambda: clock[0])
    return Job(StopInTime(deadline), TrainingArguments(output_dir=str(tmp_path), use_cpu=True), clock)


def test_the_last_save_ends_before_the_deadline_however_long_it_takes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for save in (0.1, 20.0, 90.0):
        one = job(tmp_path, monkeypatch, deadline=600.0)
        steps = 0
        while not one.step(2.0, save=save).should_training_stop:
            steps += 1
        assert one.clock[0] < 600.0
        assert one.stop.reason == "the deadline"
        assert one.clock[0] > 600.0 - 1.5 * (2.0 + save) - 2.0, "no time is given away"


def test_a_save_is_timed_once_after_the_first_step(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    one = job(tmp_path, monkeypatch, deadline=600.0)
    assert [one.step(2.0, save=5.0).should_save for _ in range(4)] == [True, False, False, False]


def test_without_a_deadline_nothing_is_saved_for_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    one = job(tmp_path, monkeypatch, deadline=None)
    assert not any(one.step(1e6, save=5.0).should_save for _ in range(3))


def test_a_deadline_in_the_past_costs_one_step(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    one = job(tmp_path, monkeypatch, deadline=-5.0)
    assert one.step(2.0, save=5.0).should_training_stop
