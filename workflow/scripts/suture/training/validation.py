"""What validation data say of a classifier: the task's own metrics, so that what selects is what is reported."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from transformers import EvalPrediction

from suture.errors import InputError
from suture.tasks import classification
from suture.tasks.base import Context, Measure, Row


@dataclass
class ClassMetrics:
    """Computes the metrics of each evaluation, and keeps the confusion of the last.

    Attributes:
        classes: in the order of the logits.
        wanted: ``best_metric`` of the options: it must have a value.
        confusion: of the last evaluation: rows are gold, columns predicted.
    """

    classes: tuple[str, ...]
    wanted: str
    confusion: list[list[int]] = field(default_factory=list)

    def __call__(self, evaluated: EvalPrediction) -> dict[str, float]:
        """Returns acc, f1_macro, ... ``combined``; of more than two classes under the same names.

        Raises:
            InputError: ``wanted`` cannot be computed on these data.
        """
        scores: Any = evaluated.predictions
        gold: Any = evaluated.label_ids
        rows = [
            Row(
                id=str(number),
                turn=0,
                unit=number,
                answer=self.classes[int(answer)],
                prediction=self.classes[int(np.argmax(row))],
                scores=dict(zip(self.classes, map(float, row), strict=True)),
            )
            for number, (row, answer) in enumerate(zip(scores, gold, strict=True))
        ]
        places = {name: place for place, name in enumerate(self.classes)}
        counts = np.zeros((len(self.classes), len(self.classes)), dtype=int)
        for row in rows:
            counts[places[row.answer], places[row.prediction]] += 1
        self.confusion = counts.tolist()
        found = values(rows, self.classes)
        if self.wanted != "loss" and self.wanted not in found:
            raise InputError(
                f"best_metric {self.wanted!r} has no value on the validation data",
                fix="give validation data of more than one class, or take best_metric: loss",
            )
        return found


def values(rows: Sequence[Row], classes: Sequence[str]) -> dict[str, float]:
    """Returns the task's metrics of rows, each under its name before an @; those without a value are not there."""
    weights = np.ones((1, len(rows)))
    found = {}
    for measure in classification.measures(rows, len(rows), Context(labels=tuple(classes), published=True)):
        if isinstance(measure, Measure):
            value = float(measure.statistic(weights)[0])
            if np.isfinite(value):
                found[measure.key.split("@")[0]] = value
    return found
