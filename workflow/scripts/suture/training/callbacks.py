"""What happens around the optimiser's steps: when to stop, when to save, what a user sees."""

from __future__ import annotations

import math
import signal
import sys
import time
from collections.abc import Callable
from types import FrameType
from typing import Any

from tqdm import tqdm
from transformers import TrainerCallback, TrainerControl, TrainerState, TrainingArguments

from suture.errors import SutureError
from suture.training import processes


class TrainingFailed(SutureError):
    """Training that cannot go on, and would fail the same way again."""


class StopAt(TrainerCallback):
    """Saves and stops when a segment's last step is done; the schedule's end is not moved.

    At the last step of all, the validation loss is taken first.
    """

    def __init__(self, step: int) -> None:
        self._step = step

    def on_step_end(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **_: Any
    ) -> TrainerControl:
        if state.global_step >= self._step:
            control.should_save = True
            control.should_training_stop = True
        if state.global_step >= state.max_steps and args.do_eval:
            control.should_evaluate = True
        return control


class StopInTime(TrainerCallback):
    """Saves and stops at the next step's end when time runs out or SIGTERM came.

    The signal's handler sets a flag and nothing else: the optimiser's step is
    finished, so that what is saved can be continued to the bit.

    Args:
        deadline: moment on ``time.monotonic``'s clock, None for none. It is
            kept by stopping when another step and a save, each half as long
            again as the longest so far, would pass it. To know how long a
            save takes, one is made after the first step; a disk that cannot
            hold it is then found out at once, not after a night.
    """

    def __init__(self, deadline: float | None) -> None:
        self._deadline = deadline
        self._step = 0.0
        self._save: float | None = None
        self._began = 0.0
        self._ended = 0.0
        self._signalled = False
        self.reason = ""

    def listen(self) -> None:
        """Takes SIGTERM from now on."""
        signal.signal(signal.SIGTERM, self._on_signal)

    def _on_signal(self, number: int, frame: FrameType | None) -> None:
        self._signalled = True

    def on_step_begin(self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **_: Any) -> None:
        self._began = time.monotonic()

    def on_step_end(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **_: Any
    ) -> TrainerControl:
        self._ended = time.monotonic()
        self._step = max(self._step, self._ended - self._began)
        # Of several processes each has a clock of its own, and the queue may signal only one: all stop at one step.
        signalled = processes.any_of(self._signalled)
        if (processes.any_of(self._late()) or signalled) and not control.should_training_stop:
            self.reason = "SIGTERM" if signalled else "the deadline"
            control.should_save = True
            control.should_training_stop = True
        if self._deadline is not None and self._save is None:
            control.should_save = True
        return control

    def on_save(self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **_: Any) -> None:
        self._save = max(self._save or 0.0, time.monotonic() - self._ended)

    def _late(self) -> bool:
        """Says whether another step and save would pass the deadline."""
        needed = 1.5 * (self._step + (self._save or 0.0))
        return self._deadline is not None and self._ended + needed > self._deadline


class StopOnNaN(TrainerCallback):
    """Fails the run when the loss is no longer a number, before anything of it is saved."""

    def on_log(
        self,
        args: TrainingArguments,
        state: TrainerState,
        control: TrainerControl,
        logs: dict[str, float] | None = None,
        **_: Any,
    ) -> None:
        for name in ("loss", "eval_loss"):
            if logs and not math.isfinite(logs.get(name, 0.0)):
                raise TrainingFailed(
                    f"the {name} is {logs[name]} at step {state.global_step}",
                    fix="lower the learning rate, raise warmup_ratio, or use precision fp32",
                )


class NoneWithoutGradient(TrainerCallback):
    """Fails the run when a parameter that is to be trained got no gradient in a step: it would stay as it was drawn."""

    def on_pre_optimizer_step(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: Any
    ) -> None:
        trained = [(name, p) for name, p in kwargs["model"].named_parameters() if p.requires_grad]
        without = [name for name, parameter in trained if parameter.grad is None]
        if without:
            raise TrainingFailed(
                f"{len(without)} of {len(trained)} trained parameters got no gradient at step {state.global_step + 1}: "
                f"{without[0]}, ...",
                fix="take targets that the loss depends on, and the versions of requirements.lock",
            )


class OnSave(TrainerCallback):
    """Calls back with the state at each checkpoint once the library has written all of it."""

    def __init__(self, saved: Callable[[TrainerState], None]) -> None:
        self._saved = saved

    def on_save(self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **_: Any) -> None:
        self._saved(state)


class Bar(TrainerCallback):
    """A progress bar over the segment's steps with the last loss; sparse in a log file."""

    def __init__(self, until_step: int) -> None:
        self._until = until_step
        self._bar: tqdm[Any] | None = None

    def on_train_begin(self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **_: Any) -> None:
        interval = 0.5 if sys.stderr.isatty() else 30.0
        self._bar = tqdm(
            total=self._until,
            initial=state.global_step,
            desc="train",
            unit="step",
            mininterval=interval,
            dynamic_ncols=True,
        )

    def on_log(
        self,
        args: TrainingArguments,
        state: TrainerState,
        control: TrainerControl,
        logs: dict[str, float] | None = None,
        **_: Any,
    ) -> None:
        if self._bar is not None and logs and "loss" in logs:
            self._bar.set_postfix(loss=f"{logs['loss']:.4f}", refresh=False)
            self._bar.update(state.global_step - self._bar.n)

    def on_train_end(self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **_: Any) -> None:
        if self._bar is not None:
            self._bar.close()
