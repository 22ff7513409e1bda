"""Splits samples into train, val and test: by case, by folds of cases, or by clip as published.

  split_dataset.py --samples samples.jsonl --clips clips.jsonl --unit case --output-dir split/
  split_dataset.py ... --unit case --folds 5 --fold 0 --output-dir split/
  split_dataset.py ... --unit clip --output-dir split/          the published 90/10 split; leaky

Writes train.jsonl, val.jsonl, test.jsonl and split.json. A case, a clip or a
video in two splits stops a split by case (exit code 2).
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from suture import files, overlap, records, registry, split_lists, split_report, splitting
from suture.cli import Parser, run
from suture.datasets.base import never_trained, read_split
from suture.errors import ConfigError, InputError
from suture.qa import published
from suture.records import Clip, Sample
from suture.splitting import SPLITS

FRACTIONS = {"case": (0.8, 0.1, 0.1), "clip": (0.9, 0.1, 0.0)}


def parser() -> Parser:
    words = Parser(__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    words.add_argument("--samples", type=Path, required=True, help="samples manifest (JSON Lines)")
    words.add_argument("--clips", type=Path, required=True, help="clips manifest (JSON Lines)")
    words.add_argument("--unit", choices=sorted(FRACTIONS), default="case", help="what is never divided")
    words.add_argument(
        "--fractions",
        type=float,
        nargs="+",
        help="shares of train, val and test (default: 0.8 0.1 0.1 by case, 0.9 0.1 0 by clip)",
    )
    words.add_argument("--folds", type=int, help="folds by case; --fold is the test set, the rest is train and val")
    words.add_argument("--fold", type=int, help="the fold that is tested, from 0")
    words.add_argument("--official-folds", type=Path, metavar="DIR", help="the publisher's fold files; with --fold")
    words.add_argument(
        "--official", type=Path, metavar="ROOT", help="the publisher's own split, of the data under ROOT"
    )
    words.add_argument("--adapter", default="cataract1k", help="whose fold files they are")
    words.add_argument("--assign", type=Path, help="CSV with the columns case and split: a split that must be kept")
    words.add_argument("--cases-test", nargs="+", default=[], metavar="ID", help="exactly these cases are the test set")
    words.add_argument("--seed", type=int, default=42, help="seed of the split (default: 42)")
    words.add_argument(
        "--balance",
        action=argparse.BooleanOptionalAction,
        default=False,
        help="repeat samples of rare phases, in train only",
    )
    words.add_argument("--allow-leaks", action="store_true", help="write a split that overlaps, marked leaky")
    words.add_argument("--output-dir", type=Path, required=True, help="folder of the split")
    words.add_argument(
        "--output-published", type=Path, help="folder for train_, val_ and test_qa_pairs.json in the published layout"
    )
    return words


def main(args: argparse.Namespace) -> None:
    fractions = _fractions(args)
    samples, clips = _read(args.samples, args.clips)
    listed = split_lists.fixed(args.assign, args.cases_test)
    if args.official_folds is not None:
        listed = split_lists.official(registry.dataset(args.adapter), args.official_folds, args.fold)
    if args.official is not None:
        listed = read_split(registry.dataset(args.adapter), args.official)
    groups = splitting.merge_cases(clips.values())
    splits = _split(args, fractions, samples, groups, listed)
    splitting.check_never_trained(splits, never_trained(registry.dataset(args.adapter)))
    overlaps = overlap.find(splits, clips)
    if args.unit == "case" and not args.allow_leaks:
        overlap.check(overlaps)
    report: dict[str, Any] = {
        "unit": args.unit,
        "leaky": args.unit == "clip" or bool(overlaps),
        "seed": args.seed,
        "fractions": [round(share, 6) for share in fractions],
        "folds": args.folds,
        "fold": args.fold,
        "fixed": dict(sorted(listed.items())),
        "cases": {name: sorted({sample.case for sample in rows}) for name, rows in splits.items()},
        "merged_cases": split_report.merged(groups),
        "overlaps": split_report.overlaps(overlaps),
        "warnings": split_report.warnings(splits, list(listed)),
        "balance": {},
    }
    if args.balance:
        splits["train"], report["balance"] = splitting.balance(splits["train"])
    report["counts"] = split_report.counts(splits)
    for name, rows in splits.items():
        records.check_unique([sample.id for sample in rows], what="sample", where=args.samples)
        records.write(args.output_dir / f"{name}.jsonl", rows)
        if args.output_published is not None:
            published.write(args.output_published / f"{name}_qa_pairs.json", rows)
    files.write_json(args.output_dir / "split.json", report)
    print(split_report.table(report))
    for line in report["warnings"]:
        print(f"warning: {line}")


def _fractions(args: argparse.Namespace) -> Sequence[float]:
    given = args.fractions or FRACTIONS[args.unit]
    fractions = [*given, 0.0][:3]
    good = all(share >= 0 for share in fractions) and fractions[0] > 0 and abs(sum(fractions) - 1) < 1e-6
    if not good or len(given) not in (2, 3):
        raise ConfigError(
            f"fractions {' '.join(map(str, given))} are not shares of train, val and test",
            fix="two or three numbers that sum to 1, the first above 0, e.g. --fractions 0.8 0.1 0.1",
        )
    if (args.folds is None and args.official_folds is None) != (args.fold is None):
        raise ConfigError("--folds (or --official-folds) and --fold go together", fix="e.g. --folds 5 --fold 0")
    lists = args.assign is not None or bool(args.cases_test) or args.official_folds is not None
    if args.official is not None and (lists or args.folds is not None or args.unit == "clip"):
        raise ConfigError(
            "--official says where each case belongs", fix="leave out the other lists, folds and --unit clip"
        )
    if args.official_folds is not None and (args.assign is not None or args.cases_test):
        raise ConfigError("--official-folds lists the cases by itself", fix="leave out --assign and --cases-test")
    if args.folds is not None and (lists or args.unit == "clip"):
        raise ConfigError(
            "--folds divides cases by itself", fix="leave out --assign, --cases-test, --official-folds and --unit clip"
        )
    if args.unit == "clip" and lists:
        raise ConfigError("lists of cases need --unit case", fix="leave out --assign and --cases-test")
    return [share / sum(fractions) for share in fractions]


def _read(samples_file: Path, clips_file: Path) -> tuple[list[Sample], dict[str, Clip]]:
    """Reads both manifests; samples come sorted by id."""
    samples: list[Sample] = sorted(records.read(samples_file, Sample), key=lambda one: one.id)
    if not samples:
        raise InputError("no samples to split", where=samples_file, fix="see what generate_qa.py left out, and why")
    records.check_unique([sample.id for sample in samples], what="sample", where=samples_file)
    rows = records.read(clips_file, Clip)
    records.check_unique([clip.id for clip in rows], what="clip", where=clips_file)
    clips = {clip.id: clip for clip in sorted(rows, key=lambda one: one.id)}
    for sample in samples:
        clip = clips.get(sample.clip)
        if clip is None or clip.case != sample.case:
            found = "no such clip" if clip is None else f"a clip of {clip.case}"
            raise InputError(
                f"sample {sample.id} is about clip {sample.clip} of {sample.case}; there is {found} in {clips_file}",
                where=samples_file,
                fix="make samples and clips in the same run",
            )
    return samples, clips


def _split(
    args: argparse.Namespace,
    fractions: Sequence[float],
    samples: Sequence[Sample],
    groups: splitting.Groups,
    listed: dict[str, str],
) -> dict[str, list[Sample]]:
    if args.unit == "clip":
        of_clip = splitting.by_clip(samples, fractions, args.seed)
        names = [of_clip[sample.clip] for sample in samples]
    elif args.folds is not None:
        of_case = splitting.by_fold(samples, groups, args.folds, args.fold, fractions, args.seed)
        names = [of_case[sample.case] for sample in samples]
    else:
        of_case = splitting.by_case(samples, groups, fractions, args.seed, listed)
        names = [of_case[sample.case] for sample in samples]
    return {name: [one for one, mine in zip(samples, names, strict=True) if mine == name] for name in SPLITS}


if __name__ == "__main__":
    run(main, parser())
