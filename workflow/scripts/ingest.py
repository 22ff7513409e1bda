"""Makes samples of the questions that a dataset's publisher already wrote.

  ingest.py --adapter table --root my.csv --videos videos/ --output samples.jsonl
  ingest.py --adapter table --root my.csv --clips clips.jsonl --output samples.jsonl
  ingest.py --adapter table --root my.csv --without-media --output samples.jsonl

With --clips, a sample needs its clip to have been cut; with --without-media no
media is looked for; else its media file must lie under --videos. In all three
the samples, and their ids, are the same. A case whose annotation cannot be read
is left out, and reported.
"""

from __future__ import annotations

import argparse
from collections import Counter
from pathlib import Path

from suture import cases, gathering, ingesting, records, registry
from suture.cli import Parser, run, share
from suture.datasets.base import Adapter, general_rejections, left_out_kinds
from suture.errors import InputError
from suture.progress import progress
from suture.records import Clip, Rejection, Sample


def parser() -> Parser:
    words = Parser(__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    words.add_argument("--adapter", required=True, help="dataset adapter, e.g. table")
    words.add_argument("--root", type=Path, required=True, help="root of the annotation files; for table also a CSV")
    words.add_argument("--cases", nargs="+", help="cases to read (default: all)")
    words.add_argument("--videos", type=Path, help="root of the media files (default: the folder of --root)")
    media = words.add_mutually_exclusive_group()
    media.add_argument("--clips", type=Path, nargs="+", help="clip manifests made by cut_videos.py (.jsonl)")
    media.add_argument("--without-media", action="store_true", help="do not look for media files")
    words.add_argument(
        "--questions",
        choices=("together", "apart"),
        default="together",
        help="the questions about a clip are one sample, or one each (default: together)",
    )
    words.add_argument(
        "--keep-kinds",
        nargs="+",
        default=[],
        metavar="KIND",
        help="kinds of questions to keep that the publisher's own loader leaves out, e.g. multi_label",
    )
    words.add_argument("--output", type=Path, required=True, help="samples manifest to write (JSON Lines)")
    words.add_argument("--rejected", type=Path, help="what was left out and why (JSON Lines)")
    words.add_argument(
        "--max-rejected", type=share, default=1.0, help="largest share of rows left out, 0 to 1 (default: 1)"
    )
    words.add_argument(
        "--allow-empty", action="store_true", help="no samples is no error: a part of a dataset may have no questions"
    )
    return words


def main(args: argparse.Namespace) -> None:
    adapter = registry.dataset(args.adapter)
    if not args.root.exists():
        raise InputError("file or folder not found", where=args.root)
    if args.without_media and args.videos is not None:
        raise InputError("--videos would do nothing: with --without-media no media is looked for", fix="leave one out")
    if args.clips is not None:
        check = ingesting.cut_clips([clip for path in args.clips for clip in records.read(path, Clip)])
    elif args.without_media:
        check = ingesting.any_media()
    else:
        check = ingesting.media_under(_videos(args), adapter, args.root)
    names = cases.chosen(adapter, args.root, args.cases)
    dropped = _dropped(adapter, args.keep_kinds)
    samples: list[Sample] = []
    rejected: list[Rejection] = general_rejections(adapter, args.root, None if args.without_media else _videos(args))
    segments = 0
    for name in progress(names, what="reading", unit="case"):
        case = cases.read_case(adapter, args.root, name, command="ingest")
        made, left_out = ingesting.samples(ingesting.without_kinds(case, dropped), check)
        segments += len(case.segments)
        samples += made
        rejected += left_out
    if args.questions == "apart":
        samples = ingesting.apart(samples)
    samples.sort(key=lambda sample: sample.id)
    records.check_unique([sample.id for sample in samples], what="sample", where=args.root)
    if args.rejected is not None:
        records.write(args.rejected, rejected)
    reasons = ", ".join(f"{reason} {n}" for reason, n in sorted(Counter(one.reason for one in rejected).items()))
    faults = [one for one in rejected if one.reason not in gathering.ORDINARY]
    if not samples and not args.allow_empty:
        raise InputError(
            f"no samples: {len(names)} cases with {segments} labelled stretches, none with a usable question; "
            f"left out: {reasons or 'nothing'}",
            where=faults[0].detail if faults else args.root,
            fix="repair the rows left out" if faults else "the files have no questions: write some with generate_qa.py",
        )
    if len(faults) > args.max_rejected * (len(faults) + len(samples)):
        raise InputError(
            f"{len(faults)} rows cannot be used beside {len(samples)} samples, more than the share of "
            f"{args.max_rejected:g} allowed: {reasons}",
            where="; ".join(one.detail for one in faults[:3]),
            fix="repair these rows, or raise --max-rejected",
        )
    records.write(args.output, samples)
    turns = sum(len(sample.turns) for sample in samples)
    print(f"{len(samples)} samples with {turns} questions from {len(names)} cases; left out: {reasons or 'nothing'}")


def _dropped(adapter: Adapter, kept: list[str]) -> list[str]:
    there = left_out_kinds(adapter)
    for kind in kept:
        if kind not in there:
            raise InputError(
                f"--keep-kinds {kind}: no such kind is left out", fix=f"there are: {', '.join(there) or 'none'}"
            )
    return [kind for kind in there if kind not in kept]


def _videos(args: argparse.Namespace) -> Path:
    folder: Path = args.root if args.root.is_dir() else args.root.parent
    return args.videos or folder


if __name__ == "__main__":
    run(main, parser())
