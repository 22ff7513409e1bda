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


def evaluations(history: History, metric: str = "loss") -> list[tuple[int, float]]:
    """Returns (step, value of a metric on the validation data) of each evaluation, in order."""
    found = {entry["step"]: entry[f"eval_{metric}"] for entry in history if f"eval_{metric}" in entry}
    return sorted(found.items())


def best_step(history: History, metric: str = "loss") -> int | None:
    """Returns the step of the lowest validation loss or the highest metric, the first of equal ones.

    None before any evaluation.
    """
    sign = 1 if metric == "loss" else -1
    found = evaluations(history, metric)
    return min(found, key=lambda one: (sign * one[1], one[0]))[0] if found else None


def reason_to_stop(history: History, options: Train) -> str | None:
    """Says why a run should end at the last step of its history, or None.

    Args:
        history: one entry a step, and one an evaluation.
        options: ``early_stopping_patience`` with ``best_metric``, and ``plateau_steps``.
    """
    metric = options.best_metric
    best = best_step(history, metric)
    if options.early_stopping_patience and best is not None:
        value_of = dict(evaluations(history, metric))
        later = sum(step > best for step in value_of)
        if later >= options.early_stopping_patience:
            ends = ("lowest", "lower") if metric == "loss" else ("highest", "higher")
            return (
                f"the validation {metric} was {ends[0]} at step {best} ({value_of[best]:.4f}) "
                f"and not {ends[1]} in the {later} evaluations since"
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
        if self._options.keep_best and best_step(state.log_history, self._options.best_metric) == state.global_step:
            control.should_save = True
