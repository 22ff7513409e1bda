"""Scores one experiment's predictions: its entry in metrics.json.

Predictions are JSON Lines with id, answer (gold) and prediction; optional are
case, clip, kind, phase, question, turn and scores. Reports may be a CSV of
study_id and report, with the gold ones in another as --references.

Every number gets a bootstrap interval over cases and stands beside baselines:
the majority answer of training, the gold answers themselves (ceiling), what
metadata alone tells (--clips), and any other predictions of the same samples
(--baseline shuffled=FILE). What cannot be computed is listed in `not_computed`
with the reason.
"""

from __future__ import annotations

import argparse
import re
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import cast

from suture import baselines, files, predicted, records, registry, report_scores, scoring
from suture.cli import Parser, run
from suture.config.flags import add_flags, from_args
from suture.config.scoring import Score
from suture.context import load_encoder, make_context
from suture.errors import InputError
from suture.predicted import Predicted
from suture.records import Clip, Sample
from suture.tasks.base import Row

_NOT_GIVEN = {
    baselines.BLIND: "no predictions of a model that learnt without videos were given (--baseline blind=FILE)",
    "shuffled": "no predictions for shuffled videos were given (--baseline shuffled=FILE)",
    "zero_shot": "no predictions of the base model were given (--baseline zero_shot=FILE)",
    baselines.METADATA: "the clips were not given (--clips, --clips-dir)",
}
_UNMATCHED = {"no_reference": "predictions have no reference", "no_prediction": "references have no prediction"}
"""What an honest number stands beside as well, and why it does not."""


def parser() -> Parser:
    """Makes the command line."""
    made = Parser(__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    made.add_argument(
        "--task", required=True, metavar="NAME", help=f"what an answer is: {', '.join(registry.names('task'))}"
    )
    made.add_argument("--predictions", required=True, type=Path, metavar="FILE", help="JSON Lines, or CSV of reports")
    made.add_argument(
        "--references",
        type=Path,
        metavar="FILE",
        help="training samples (JSON Lines), which baselines learn from; or gold reports (CSV)",
    )
    made.add_argument(
        "--labels", type=Path, metavar="FILE", help="the closed set of answers: a JSON list, or one a line"
    )
    made.add_argument("--label-names", nargs="+", metavar="NAME", help="the same, named here")
    made.add_argument("--positive", metavar="LABEL", help="the class looked for, of two (the second label)")
    made.add_argument("--adapter", metavar="NAME", help="dataset adapter: tells the names of objects and phases")
    made.add_argument("--split-info", type=Path, metavar="FILE", help="split.json: says whether the split is leaky")
    made.add_argument("--split", default="test", metavar="NAME", help="name of the split that is scored (test)")
    made.add_argument("--output", required=True, type=Path, metavar="FILE", help="JSON: the experiment's entry")
    others = made.add_argument_group("baselines")
    others.add_argument(
        "--baseline",
        nargs="+",
        default=[],
        metavar="NAME=FILE",
        help="other predictions of the same samples: blind, shuffled, zero_shot, ...",
    )
    others.add_argument(
        "--clips", type=Path, nargs="+", metavar="FILE", help="clips manifests: what metadata alone tells, is learnt"
    )
    others.add_argument("--clips-dir", type=Path, metavar="DIR", help="folder of the clips; required with --clips")
    add_flags(made, Score)
    figures = made.add_argument_group("BERTScore")
    figures.add_argument("--bertscore", type=Path, metavar="DIR", help="folder of an encoder, for BERTScore of reports")
    figures.add_argument(
        "--bertscore-layer", type=int, metavar="N", help="layer compared (the best known, else the last)"
    )
    figures.add_argument(
        "--report-scores",
        type=Path,
        metavar="FILE",
        help="of measure_reports.py: CheXbert, RadGraph, RadCliQ, BERTScore",
    )
    made.add_argument(
        "--allow-unmatched", action="store_true", help="reports without a counterpart are counted and left out"
    )
    return made


def main(args: argparse.Namespace) -> None:
    """Scores the predictions and writes the entry."""
    task = registry.task(args.task)
    how = cast(Score, from_args(args, Score))
    if (args.clips is None) != (args.clips_dir is None):
        raise InputError("--clips and --clips-dir go together", fix="give both, or neither")
    if args.labels and args.label_names:
        raise InputError("--labels and --label-names both name the answers", fix="give one of them")
    context = make_context(
        labels=predicted.read_labels(args.labels) if args.labels else args.label_names or (),
        positive=args.positive,
        adapter=args.adapter,
        published=how.published_score,
        bertscore=load_encoder(args.bertscore, args.bertscore_layer) if args.bertscore else None,
        report_scores=report_scores.read(args.report_scores) if args.report_scores else None,
    )
    gold = predicted.read_gold(args.references) if args.references and predicted.is_table(args.references) else None
    train = _train_samples(args.references) if args.references and gold is None else None
    read = predicted.read(args.predictions, gold)
    if read.left_out and not args.allow_unmatched:
        told = " and ".join(f"{count} {_UNMATCHED[reason]}" for reason, count in read.left_out.items())
        raise InputError(
            f"the study ids of both files do not match: {told}",
            where=args.predictions,
            fix="repair the ids; --allow-unmatched scores the others",
        )
    units = scoring.number_units(read.rows, predicted.read_groups(Path(how.groups)) if how.groups else None)
    not_computed = _told(read, gold, args.references)
    compared = {baselines.CEILING: baselines.ceiling(units.rows)}
    if train is not None:
        compared[baselines.MAJORITY] = _majority(units.rows, train)
    elif gold is None:
        not_computed[baselines.MAJORITY] = "no training samples were given (--references)"
    if args.clips:
        compared[baselines.METADATA] = _metadata(args, units.rows, train, how.seed)
    for given in args.baseline:
        name, path = _named_file(given, compared)
        compared[name] = baselines.from_file(units.rows, path)
    for name, reason in _NOT_GIVEN.items():
        if name not in compared:
            not_computed[name] = reason
    if train is None and args.split_info is None:
        not_computed["leaky"] = "neither the split's description nor training samples were given: a leak would not show"
    entry = scoring.entry(
        task,
        units,
        split=args.split,
        leaky=_declared_leaky(args.split_info) or _shares_cases(units.rows, train or []),
        baselines=compared,
        not_computed=not_computed,
        context=context,
        resamples=how.resamples,
        seed=how.seed,
    )
    files.write_json(args.output, entry)
    for key, measured in sorted(entry["metrics"].items()):
        print(f"{key}: {measured['value']:.3f} ({measured['low']:.3f} to {measured['high']:.3f}), n {measured['n']}")


def _told(read: Predicted, gold: dict[str, str] | None, references: Path | None) -> dict[str, str]:
    """Says which lines of the files are in no number."""
    words = {
        "no_reference": f"{read.left_out.get('no_reference')} predictions have no text among the references",
        "no_prediction": f"{read.left_out.get('no_prediction')} of {len(gold or {})} references have no prediction",
    }
    told = {reason: f"{words[reason]}: no number knows of them" for reason in read.left_out}
    for reason in told.values():
        print(f"{references}: {reason}", file=sys.stderr)
    return told


def _train_samples(path: Path) -> list[Sample]:
    train: list[Sample] = records.read(path, Sample)
    if not any(sample.turns for sample in train):
        raise InputError("no training answers in this file", where=path, fix="give the samples that were trained on")
    return train


def _majority(rows: list[Row], train: list[Sample]) -> list[Row]:
    answered, unseen = baselines.majority(rows, train)
    if unseen:
        print(
            f"{unseen} of {len(rows)} questions are not among the training questions: "
            "their majority answer is that of their kind",
            file=sys.stderr,
        )
    return answered


def _metadata(args: argparse.Namespace, rows: list[Row], train: list[Sample] | None, seed: int) -> list[Row]:
    if train is None:
        raise InputError("what metadata tells is learnt from training samples", fix="give them as --references")
    clips: list[Clip] = [clip for path in args.clips for clip in records.read(path, Clip)]
    asked = {row.clip for row in rows} | {sample.clip for sample in train}
    facts = baselines.read_clips((clip for clip in clips if clip.id in asked), args.clips_dir)
    return baselines.metadata(rows, train, facts, seed=seed)


def _named_file(given: str, taken: dict[str, list[Row]]) -> tuple[str, Path]:
    name, _, path = given.partition("=")
    if not re.fullmatch(r"[a-z][a-z0-9_]*", name) or not path:
        raise InputError(f"--baseline {given!r}", fix="NAME=FILE, the name in lower case: --baseline blind=blind.jsonl")
    if name in baselines.OWN or name in taken:
        raise InputError(f"baseline {name!r} is there already", fix="give it another name")
    return name, Path(path)


def _declared_leaky(path: Path | None) -> bool:
    if path is None:
        return False
    split = files.read_json(path)
    if not isinstance(split, dict) or not isinstance(split.get("leaky"), bool):
        raise InputError("does not say whether the split is leaky", where=path, fix="give split_dataset's split.json")
    return bool(split["leaky"])


def _shares_cases(rows: Sequence[Row], train: Sequence[Sample]) -> bool:
    shared = {row.case for row in rows if row.case} & {sample.case for sample in train}
    if shared:
        print(f"leaky: {len(shared)} cases are among the training samples too", file=sys.stderr)
    return bool(shared)


if __name__ == "__main__":
    run(main, parser())
