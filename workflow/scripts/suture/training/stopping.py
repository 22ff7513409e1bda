"""When a run ends before its last step because more of it would not help, and which of its weights were best.

Both are functions of the history alone, which is part of each checkpoint: a
run that was interrupted decides as one that was not.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from transformers import TrainerCallback, TrainerControl, TrainerState, TrainingArguments

from suture.config.training import Train

PLATEAU = 0.001
"""A loss that falls by a smaller share than this from one window to the next does not fall."""

History = Sequence[dict[str, Any]]


def validation_losses(history: History) -> list[tuple[int, float]]:
    """Returns (step, validation loss) of each evaluation, in order."""
    found = {entry["step"]: entry["eval_loss"] for entry in history if "eval_loss" in entry}
    return sorted(found.items())


def best_step(history: History) -> int | None:
    """Returns the step of the lowest validation loss, the first of equal ones; None before any evaluation."""
    losses = validation_losses(history)
    return min(losses, key=lambda one: (one[1], one[0]))[0] if losses else None


def reason_to_stop(history: History, options: Train) -> str | None:
    """Says why a run should end at the last step of its history, or None.

    Args:
        history: one entry a step, and one an evaluation.
        options: ``early_stopping_patience`` and ``plateau_steps``.
    """
    best = best_step(history)
    if options.early_stopping_patience and best is not None:
        losses_of = dict(validation_losses(history))
        later = sum(step > best for step in losses_of)
        if later >= options.early_stopping_patience:
            return (
                f"the validation loss was lowest at step {best} ({losses_of[best]:.4f}) "
                f"and not lower in the {later} evaluations since"
            )
    losses = [entry["loss"] for entry in history if "loss" in entry]
    window = options.plateau_steps
    if window and losses and len(losses) % window == 0 and len(losses) >= 2 * window:
        before, now = (sum(part) / window for part in (losses[-2 * window : -window], losses[-window:]))
        if now > (1 - PLATEAU) * before:
            return f"the training loss has stopped falling: {before:.4f}, then {now:.4f}, in {window} steps each"
    return None


class StopEarly(TrainerCallback):
    """Saves and ends the run when :func:`reason_to_stop` gives one; with ``keep_best`` also saves each new best."""

    def __init__(self, options: Train) -> None:
        self._options = options
        self.reason: str | None = None

    def _look(self, state: TrainerState, control: TrainerControl) -> None:
        self.reason = reason_to_stop(state.log_history, self._options)
        if self.reason:
            control.should_save = True
            control.should_training_stop = True

    def on_log(self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **_: Any) -> None:
        """Looks at the training loss, once for each step."""
        if "loss" in state.log_history[-1]:
            self._look(state, control)

    def on_evaluate(self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **_: Any) -> None:
        """Looks at the validation loss."""
        self._look(state, control)
        if self._options.keep_best and best_step(state.log_history) == state.global_step:
            control.should_save = True
