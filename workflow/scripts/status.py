"""Shows where each training of each run is: step, loss, time left, and whether it lives.

Run as:
    make status
    python workflow/scripts/status.py --json

Reads the files under results/ only: it starts nothing, and works beside running jobs.
"""

from __future__ import annotations

import argparse
import dataclasses
import json
import sys
import time
from pathlib import Path

from suture.cli import Parser, run
from suture.status import table, trainings


def parser() -> Parser:
    p = Parser(__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument(
        "--results", type=Path, default=Path("results"), metavar="DIR", help="the folder of runs (default: results)"
    )
    p.add_argument("--json", action="store_true", help="a JSON list, one object an experiment")
    return p


def main(args: argparse.Namespace) -> None:
    found, unread = trainings(args.results, time.time()) if args.results.is_dir() else ([], [])
    for error in unread:
        print(f"cannot be read: {error}", file=sys.stderr)
    if args.json:
        print(json.dumps([dataclasses.asdict(one) for one in found], indent=2))
    elif found:
        print(table(found))
    else:
        print(f"no training under {args.results}")


if __name__ == "__main__":
    run(main, parser())
