"""The table of a sweep: what each point was, what its validation data say, what it took."""

from __future__ import annotations

import csv
import dataclasses
import io
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from suture import files, ledger
from suture.config import schedule
from suture.sweeps.points import Point, Sweep

SCHEMA = 1
CSV, JSON = "sweep.csv", "sweep.json"


@dataclass(frozen=True, kw_only=True)
class Row:
    """A point in the table.

    Attributes:
        validation: its number on the validation data, the mean over repeats; None where there is none yet.
        steps: optimiser steps that it came to, of the repeat that came least far.
        gpu_hours: of all jobs of the point, those that were cut off too.
    """

    point: str
    values: dict[str, Any]
    state: str
    validation: float | None
    steps: int
    max_steps: int
    jobs: int
    gpu_hours: float
    hours: float
    reason: str


def metric(sweep: Sweep) -> str:
    """Returns the number that points are compared by: their ``best_metric``, the loss where they differ in it."""
    found = {sweep.config.experiments[point.name].train.best_metric for point in sweep.points}
    return str(found.pop()) if len(found) == 1 else "loss"


def rows(sweep: Sweep, run: Path, states: Mapping[str, tuple[str, str]]) -> list[Row]:
    """Returns the points, the best on validation data first, those without a number last.

    Test scores are not in it: who picks a point by them has no test set left.

    Args:
        sweep: its points.
        run: folder of the run.
        states: of each point, its state and why it ended.
    """
    name = metric(sweep)
    book = ledger.read(run / "ledger.jsonl")
    found = []
    for point in sweep.points:
        mine = [one for one in book.entries if one.experiment in sweep.runs(point)]
        values = [_validation(run, sweep, point, one, name) for one in sweep.runs(point)]
        totals = ledger.totals(mine)
        state, reason = states[point.name]
        found.append(
            Row(
                point=point.name,
                values=point.values,
                state=state,
                validation=sum(v for v in values if v is not None) / len(values) if None not in values else None,
                steps=min((_steps(mine, one) for one in sweep.runs(point)), default=0),
                max_steps=sweep.config.experiments[point.name].train.max_steps,
                jobs=len(mine),
                gpu_hours=totals["gpu_hours"],
                hours=totals["wall_hours"],
                reason=reason,
            )
        )
    sign = 1 if name == "loss" else -1
    return sorted(found, key=lambda row: math.inf if row.validation is None else sign * row.validation)


def _validation(run: Path, sweep: Sweep, point: Point, name: str, key: str) -> float | None:
    """Reads a finished training's number: the best one where those weights were kept, else the last."""
    train = sweep.config.experiments[point.name].train
    last = len(schedule.borders(train.max_steps, train.steps_per_job))
    log = run / "train" / name / f"segment-{last}" / "log.jsonl"
    if not log.is_file():
        return None
    values = [float(line[f"eval_{key}"]) for line in files.read_jsonl(log) if f"eval_{key}" in line]
    if not values:
        return None
    if not train.keep_best:
        return values[-1]
    return min(values) if key == "loss" else max(values)


def _steps(entries: Sequence[ledger.Entry], name: str) -> int:
    return max((one.last_step for one in entries if one.experiment == name), default=0)


def write(folder: Path, sweep: Sweep, found: Sequence[Row]) -> None:
    """Writes the table as CSV and JSON."""
    name = metric(sweep)
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(["point", *sweep.keys, f"validation_{name}", "state", "steps", "gpu_hours", "hours", "reason"])
    for row in found:
        cells = [row.values.get(key, "") for key in sweep.keys]
        validation = "" if row.validation is None else repr(row.validation)
        took = [f"{row.gpu_hours:.4f}", f"{row.hours:.4f}"]
        writer.writerow([row.point, *cells, validation, row.state, row.steps, *took, row.reason])
    files.write_text(folder / CSV, text.getvalue())
    files.write_json(
        folder / JSON,
        {
            "schema": SCHEMA,
            "run": sweep.config.run,
            "experiment": sweep.experiment,
            "sorted_by": f"validation {name}",
            "points": [dataclasses.asdict(row) for row in found],
        },
    )


def words(sweep: Sweep, found: Sequence[Row]) -> str:
    """Words the table for a terminal."""
    head = [*(key.rpartition(".")[2] for key in sweep.keys), f"val {metric(sweep)}", "steps", "GPU-h", "state", "point"]
    body = [
        [
            *(str(row.values.get(key, "")) for key in sweep.keys),
            "–" if row.validation is None else f"{row.validation:.4f}",
            f"{row.steps}/{row.max_steps}",
            f"{row.gpu_hours:.2f}",
            row.state,
            row.point,
        ]
        for row in found
    ]
    widths = [max(len(line[column]) for line in [head, *body]) for column in range(len(head))]
    lines = [
        "  ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)).rstrip()
        for line in [head, *body]
    ]
    lines += [f"{row.point}: {row.reason}" for row in found if row.reason and row.state != "done"]
    return "\n".join(lines)
