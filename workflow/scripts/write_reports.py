"""Writes predicted and gold reports as two tables, study_id and report, in one order.

Run as:
    python workflow/scripts/write_reports.py --predictions predictions.jsonl \\
        --answers-file-pred pred.csv --answers-file-gt gt.csv
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
    p.add_argument("--predictions", type=Path, required=True, metavar="FILE", help="of predict.py")
    p.add_argument("--answers-file-pred", type=Path, required=True, metavar="FILE", help="CSV of predicted reports")
    p.add_argument("--answers-file-gt", type=Path, required=True, metavar="FILE", help="CSV of gold reports")
    return p


def main(args: argparse.Namespace) -> None:
    """Writes both."""
    found: list[Prediction] = records.read(args.predictions, Prediction)
    report_tables.write(found, args.answers_file_pred, args.answers_file_gt)
    print(f"{len(found)} reports")


if __name__ == "__main__":
    run(main, parser())
