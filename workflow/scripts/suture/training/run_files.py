"""What a classifier's run leaves for its reader, under the published names, in the run's folder.

``log.txt`` has a line of JSON and the confusion matrix of each evaluation,
``training.log`` a line of each step and evaluation with its time, and
``best_confusion_matrix_epoch_N.png`` is of each evaluation that was the best so
far. They are beside the run: no rule but the report reads them.
"""

from __future__ import annotations

import datetime
import json
from pathlib import Path
from typing import Any

from transformers import TrainerCallback, TrainerControl, TrainerState, TrainingArguments

from suture import files
from suture.config.training import Train
from suture.confusion_picture import draw
from suture.training.stopping import best_step
from suture.training.validation import ClassMetrics

LOG, TEXT, PICTURE = "log.txt", "training.log", "best_confusion_matrix_epoch_{}.png"


class RunFiles(TrainerCallback):
    """Writes the files as the run goes on.

    Args:
        folder: of the run.
        options: of the run.
        metrics: hold the confusion matrix of the last evaluation.
        samples: seen in an epoch.
    """

    def __init__(self, folder: Path, options: Train, metrics: ClassMetrics, *, samples: int) -> None:
        self._folder = folder
        self._options = options
        self._metrics = metrics
        self._samples = samples

    def epoch(self, step: int) -> int:
        """Returns the epoch, from 0, that the last sample of a step belongs to."""
        return max(0, step * self._options.samples_per_step - 1) // self._samples

    def on_train_begin(self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **_: Any) -> None:
        """Takes back what a job that was interrupted wrote of later steps."""
        self._folder.mkdir(parents=True, exist_ok=True)
        path = self._folder / LOG
        if path.is_file():
            blocks = [block for block in files.read_text(path).split("\n\n") if block.strip()]
            kept = [block for block in blocks if json.loads(block.splitlines()[0])["step"] <= state.global_step]
            files.write_text(path, "".join(f"{block}\n\n" for block in kept))
        bests = {self.epoch(int(entry["step"])) for entry in state.log_history if "eval_loss" in entry}
        for picture in self._folder.glob(PICTURE.format("*")):
            if int(picture.stem.rpartition("_")[2]) not in bests:
                picture.unlink()

    def on_log(
        self,
        args: TrainingArguments,
        state: TrainerState,
        control: TrainerControl,
        logs: dict[str, float] | None = None,
        **_: Any,
    ) -> None:
        """Writes a line of the step."""
        numbers = " ".join(f"{name} {value:.6g}" for name, value in (logs or {}).items() if name != "epoch")
        now = datetime.datetime.now().isoformat(sep=" ", timespec="seconds")
        _append(
            self._folder / TEXT, f"{now} epoch {self.epoch(state.global_step)} step {state.global_step} {numbers}\n"
        )

    def on_evaluate(self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **_: Any) -> None:
        """Writes the evaluation, and the confusion matrix where it was the best."""
        step, metric = state.global_step, self._options.best_metric
        values = next(entry for entry in reversed(state.log_history) if "eval_loss" in entry)
        best = best_step(state.log_history, metric) == step
        line = {"step": step, "epoch": self.epoch(step), "best": best} | {
            name: value for name, value in values.items() if name.startswith("eval_")
        }
        confusion = self._metrics.confusion
        wide = max(len(str(number)) for row in confusion for number in row)
        table = "\n".join(" ".join(f"{number:{wide}}" for number in row) for row in confusion)
        _append(self._folder / LOG, f"{json.dumps(line, sort_keys=True)}\n{table}\n\n")
        if best:
            title = f"epoch {line['epoch']}, step {step}: validation {metric} {values[f'eval_{metric}']:.3f}"
            draw(self._folder / PICTURE.format(line["epoch"]), confusion, self._metrics.classes, title=title)


def _append(path: Path, text: str) -> None:
    with path.open("a", encoding="utf-8") as handle:
        handle.write(text)
