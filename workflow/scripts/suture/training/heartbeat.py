"""A training's sign of life, for `make status`: where it is, how fast, and when it will be done."""

from __future__ import annotations

import math
import sys
import time
from pathlib import Path
from types import TracebackType
from typing import Any

from transformers import TrainerCallback, TrainerControl, TrainerState, TrainingArguments

from suture import beat, files, ledger
from suture.beat import Beat, Pace, State
from suture.redaction import redact
from suture.training import processes

EVERY = 5.0
"""Least seconds between two beats in the middle of a job."""


class Heartbeat(TrainerCallback):
    """Writes a small file at the beginning, now and then, and at the end.

    As a context manager around all of a job it also tells that the model is
    being loaded, and that the job failed. It draws no random number, and reads
    the Trainer's logs without changing them: training with it and without it
    are equal to the bit.

    A beat that cannot be written is reported once and does not stop the
    training: where the disk is full, the next checkpoint will, with its own
    error; where only this file is in the way, hours of work are worth more.

    Args:
        path: ``heartbeat.json`` in the job's work folder.
        experiment: its name.
        until_step: last optimiser step of the segment.
        max_steps: last optimiser step of the run.
        every: least seconds between two beats.

    Attributes:
        pace: steps and their times, which the ledger asks for too.
    """

    def __init__(self, path: Path, *, experiment: str, until_step: int, max_steps: int, every: float = EVERY) -> None:
        self.pace = Pace()
        self._path = path
        self._fixed: dict[str, Any] = {"experiment": experiment, "until_step": until_step, "max_steps": max_steps}
        self._until, self._max = until_step, max_steps
        self._every = every
        self._state: State = "starting"
        self._reason = ""
        self._loss: float | None = None
        self._rate: float | None = None
        self._started = ledger.utc(time.time())
        self._written = -math.inf
        self._reported = False

    def __enter__(self) -> Heartbeat:
        self._write()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if error is not None:
            self._state = "failed"
            self._reason = redact(f"{type(error).__name__}: {error}").partition("\n")[0]
        elif self._state == "starting":
            self._state = "done"  # there was nothing left to train
        self._write()

    def on_train_begin(self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **_: Any) -> None:
        self.pace.begin(state.global_step, time.monotonic())
        self._state = "running"
        self._beat(state, at_once=True)

    def on_step_end(self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **_: Any) -> None:
        self.pace.reach(state.global_step, time.monotonic())
        self._beat(state)

    def on_substep_end(self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **_: Any) -> None:
        self._beat(state)

    def on_prediction_step(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **_: Any
    ) -> None:
        self._beat(state)

    def on_save(self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **_: Any) -> None:
        self._beat(state)

    def on_log(
        self,
        args: TrainingArguments,
        state: TrainerState,
        control: TrainerControl,
        logs: dict[str, float] | None = None,
        **_: Any,
    ) -> None:
        self._loss = _number((logs or {}).get("loss"), self._loss)
        self._rate = _number((logs or {}).get("learning_rate"), self._rate)

    def on_train_end(self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **_: Any) -> None:
        self._state = "done" if state.global_step >= self._until else "stopped"
        self._beat(state, at_once=True)

    def _beat(self, state: TrainerState, *, at_once: bool = False) -> None:
        due = time.monotonic() - self._written >= self._every
        if due or at_once:
            self._write()

    def _write(self) -> None:
        if not processes.is_first():
            return
        self._written = time.monotonic()
        try:
            files.write_json(self._path, self._now().to_json())
        except OSError as error:
            if not self._reported:
                print(f"no heartbeat can be written: {error}; training goes on", file=sys.stderr, flush=True)
            self._reported = True

    def _now(self) -> Beat:
        step, pace = self.pace.step, self.pace.recent
        return Beat(
            **self._fixed,
            **beat.here(),
            state=self._state,
            reason=self._reason,
            first_step=self.pace.first_step,
            step=step,
            loss=self._loss,
            learning_rate=self._rate,
            seconds_per_step=pace,
            segment_seconds_left=None if pace is None else pace * (self._until - step),
            run_seconds_left=None if pace is None else pace * (self._max - step),
            started=self._started,
            updated=ledger.utc(time.time()),
        )


def _number(value: float | None, before: float | None) -> float | None:
    """Takes a logged value; what is no finite number has no place in JSON."""
    return before if value is None else (value if math.isfinite(value) else None)
