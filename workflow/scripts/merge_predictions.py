"""Joins the predictions of chunks (predict.py --num-chunks N --chunk K) into one file, in the order of their ids.

Run as:
    python workflow/scripts/merge_predictions.py --chunks chunk-0.jsonl chunk-1.jsonl --output predictions.jsonl
"""

from __future__ import annotations

import argparse
from pathlib import Path

from suture import records, report_tables
from suture.cli import Parser, run
from suture.records import Prediction


def parser() -> Parser:
    """Returns the command line's parser."""
    p = Parser(__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument(
        "--chunks", type=Path, nargs="+", required=True, metavar="FILE", help="predictions, one file a chunk"
    )
    p.add_argument("--output", type=Path, required=True, metavar="FILE", help="predictions to write")
    return p


def main(args: argparse.Namespace) -> None:
    """Joins them."""
    found = report_tables.merged(args.chunks, [records.read(path, Prediction) for path in args.chunks])
    found.sort(key=lambda one: (one.id, one.turn))
    records.write(args.output, found)
    print(f"{len(found)} answers of {len(args.chunks)} chunks")


if __name__ == "__main__":
    run(main, parser())
