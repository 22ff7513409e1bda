"""Writes case_objects.json: the annotated frames of each case, their objects, phase and clip.

  describe_objects.py --annotations DIR --clips clips.jsonl --output case_objects.json
  describe_objects.py --annotations DIR --mode published --clips clips.csv --output case_objects.json

Without --clips, the clips are those that cutting would make (in the same mode),
found without opening a video. A case whose annotation cannot be read is left out, and reported.
"""

from __future__ import annotations

import argparse
from collections import Counter
from pathlib import Path
from typing import Any

from suture import cases, files, objects, records, registry
from suture.cli import Parser, run
from suture.progress import progress
from suture.records import Rejection


def parser() -> Parser:
    words = Parser(__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    words.add_argument("--annotations", type=Path, required=True, help="root of the annotation files")
    words.add_argument("--adapter", default="cataract1k", help="dataset adapter (default: cataract1k)")
    words.add_argument("--cases", nargs="+", help="cases to describe (default: all)")
    words.add_argument("--clips", type=Path, nargs="+", help="clip manifests (.jsonl) or clip lists (.csv)")
    words.add_argument(
        "--mode",
        choices=["default", "published"],
        default="default",
        help="published: the layout, names and borders of the published script (default: default)",
    )
    words.add_argument("--output", type=Path, required=True, help="case_objects.json to write")
    words.add_argument("--rejected", type=Path, help="annotations left out and why (JSON Lines)")
    return words


def main(args: argparse.Namespace) -> None:
    adapter = registry.dataset(args.adapter)
    clips = None if args.clips is None else [one for path in args.clips for one in objects.read_clips(path)]
    describe = objects.describe_published if args.mode == "published" else objects.describe
    plan = "published" if args.mode == "published" else "exact"
    described: dict[str, Any] = {}
    rejected: list[Rejection] = []
    for name in progress(cases.chosen(adapter, args.annotations, args.cases), what="describing", unit="case"):
        case = cases.read_case(adapter, args.annotations, name, command="describe_objects")
        rejected += case.rejected
        scenes = describe(case, objects.planned(case, mode=plan) if clips is None else clips)
        if scenes:
            described[name] = scenes
    # Keys are in order of case and time, which is not the order of their letters.
    files.write_json(args.output, described, sort_keys=False)
    if args.rejected is not None:
        records.write(args.rejected, rejected)
    frames = [scene for scenes in described.values() for scene in scenes.values()]
    outside = sum(scene["clip" if args.mode == "default" else "video_filename"] is None for scene in frames)
    reasons = ", ".join(f"{reason} {n}" for reason, n in sorted(Counter(one.reason for one in rejected).items()))
    print(f"{len(described)} cases, {len(frames)} frames, {outside} without a clip; left out: {reasons or 'nothing'}")


if __name__ == "__main__":
    run(main, parser())
