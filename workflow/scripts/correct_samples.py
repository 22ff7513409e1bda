"""Applies a reviewer's corrections to the samples of a shard: a fix replaces, a reject drops, counted.

Run as:
    python workflow/scripts/correct_samples.py --samples samples/3.jsonl --corrections corrections.csv \\
        --cases case_1 case_9 --output samples/3.corrected.jsonl --rejected samples/3.corrected.rejected.jsonl
"""

from __future__ import annotations

import argparse
from pathlib import Path

from suture import records
from suture.cli import Parser, run
from suture.records import Sample
from suture.reviewing import corrections


def parser() -> Parser:
    """Makes the command line."""
    made = Parser(__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    made.add_argument("--samples", type=Path, required=True, help="samples manifest")
    made.add_argument(
        "--corrections", type=Path, nargs="+", required=True, help="CSV files that the review page exports"
    )
    made.add_argument("--cases", nargs="+", help="corrections of other cases are passed over (default: none are)")
    made.add_argument("--output", type=Path, required=True, help="corrected samples to write")
    made.add_argument("--rejected", type=Path, required=True, help="what was dropped (JSON Lines)")
    return made


def main(args: argparse.Namespace) -> None:
    """Reads, applies and writes."""
    samples: list[Sample] = records.read(args.samples, Sample)
    found = corrections.read(args.corrections)
    mine = [one for one in found if args.cases is None or one.case in args.cases]
    changing = [one for rows in corrections.effective(mine).values() for one in rows]
    kept, dropped = corrections.apply(samples, changing)
    records.write(args.output, kept)
    records.write(args.rejected, dropped)
    fixed = len({one.place for one in changing if one.verdict == "fix"})
    print(f"{fixed} answers replaced, {len(dropped)} dropped, {len(samples) - len(kept)} samples left without any")


if __name__ == "__main__":
    run(main, parser())
