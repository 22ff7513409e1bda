"""Scores one experiment's predictions: its entry in metrics.json.

Predictions are JSON Lines with id, answer (gold) and prediction; optional are
case, kind, phase, question, turn and scores. Every number gets a bootstrap
interval over cases and stands beside the majority baseline; what cannot be
computed is listed in `not_computed` with the reason.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from suture import files, records, registry, scoring
from suture.cli import Parser, run
from suture.errors import InputError
from suture.records import Sample
from suture.tasks.base import Row


def parser() -> Parser:
    """Makes the command line."""
    made = Parser(__doc__)
    made.add_argument("--task", required=True, help=f"what an answer is: {', '.join(registry.names('task'))}")
    made.add_argument("--predictions", required=True, type=Path, help="JSON Lines of predictions")
    made.add_argument("--references", type=Path, help="training samples (JSON Lines): what the majority baseline knows")
    made.add_argument("--split-info", type=Path, help="split.json of the split: says whether it is leaky")
    made.add_argument("--split", default="test", help="name of the split that is scored")
    made.add_argument("--groups", type=Path, help="CSV of case,group: resample groups (patients) instead of cases")
    made.add_argument("--resamples", type=int, default=scoring.RESAMPLES, help="bootstrap resamples")
    made.add_argument("--seed", type=int, default=scoring.SEED, help="seed of the resampling")
    made.add_argument("--output", required=True, type=Path, help="JSON: the experiment's entry")
    return made


def main(args: argparse.Namespace) -> None:
    """Scores the predictions and writes the entry."""
    task = registry.task(args.task)
    if args.resamples < 100:
        raise InputError(f"--resamples {args.resamples} is too few for a 95 % interval", fix="at least 100")
    groups = scoring.read_groups(args.groups) if args.groups else None
    units = scoring.number_units(scoring.read_rows(args.predictions), groups)
    train = _train_samples(args.references) if args.references else None
    baselines = {}
    not_computed = {}
    if train is None:
        not_computed[scoring.MAJORITY] = "no training samples were given (--references)"
    else:
        baselines[scoring.MAJORITY] = _majority(units.rows, train)
    if train is None and args.split_info is None:
        not_computed["leaky"] = "neither the split's description nor training samples were given: a leak would not show"
    entry = scoring.entry(
        task,
        units,
        split=args.split,
        leaky=_declared_leaky(args.split_info) or _shares_cases(units.rows, train or []),
        baselines=baselines,
        not_computed=not_computed,
        resamples=args.resamples,
        seed=args.seed,
    )
    files.write_json(args.output, entry)
    for key, measured in sorted(entry["metrics"].items()):
        print(f"{key}: {measured['value']:.3f} ({measured['low']:.3f} to {measured['high']:.3f}), n {measured['n']}")


def _train_samples(path: Path) -> list[Sample]:
    train: list[Sample] = records.read(path, Sample)
    if not any(sample.turns for sample in train):
        raise InputError("no training answers in this file", where=path, fix="give the samples that were trained on")
    return train


def _majority(rows: list[Row], train: list[Sample]) -> list[str]:
    predictions, unseen = scoring.majority_predictions(rows, train)
    if unseen:
        print(
            f"{unseen} of {len(rows)} questions are not among the training questions: "
            "their majority answer is that of their kind",
            file=sys.stderr,
        )
    return predictions


def _declared_leaky(path: Path | None) -> bool:
    if path is None:
        return False
    split = files.read_json(path)
    if not isinstance(split, dict) or not isinstance(split.get("leaky"), bool):
        raise InputError("does not say whether the split is leaky", where=path, fix="give split_dataset's split.json")
    return bool(split["leaky"])


def _shares_cases(rows: list[Row], train: list[Sample]) -> bool:
    shared = {row.case for row in rows if row.case} & {sample.case for sample in train}
    if shared:
        print(f"leaky: {len(shared)} cases are among the training samples too", file=sys.stderr)
    return bool(shared)


if __name__ == "__main__":
    run(main, parser())
