"""Tells how many of the reviewed answers were wrong, with an interval, by kind of question: review.json.

Run as:
    python workflow/scripts/rate_review.py --samples samples/*.jsonl --corrections corrections.csv --output review.json
"""

from __future__ import annotations

import argparse
from pathlib import Path

from suture import files, records
from suture.cli import Parser, run
from suture.records import Sample
from suture.reviewing import corrections, rate


def parser() -> Parser:
    """Makes the command line."""
    made = Parser(__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    made.add_argument("--samples", type=Path, nargs="+", required=True, help="samples as they were before corrections")
    made.add_argument(
        "--corrections", type=Path, nargs="+", required=True, help="CSV files that the review page exports"
    )
    made.add_argument("--output", type=Path, required=True, help="review.json to write")
    return made


def main(args: argparse.Namespace) -> None:
    """Counts and writes."""
    samples: list[Sample] = [sample for path in args.samples for sample in records.read(path, Sample)]
    found = rate.summary(corrections.read(args.corrections), samples)
    files.write_json(args.output, found)
    print(
        f"{found['wrong']} of {found['n']} reviewed answers were wrong: {found['value']:.1%} "
        f"({found['low']:.1%} to {found['high']:.1%}, 95 % Wilson interval)"
    )


if __name__ == "__main__":
    run(main, parser())
