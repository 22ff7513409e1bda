"""Merges the experiments' entries that score.py wrote into the run's metrics.json."""

from __future__ import annotations

import argparse
from pathlib import Path

from suture import files
from suture.cli import Parser, run
from suture.errors import InputError
from suture.metrics import SCHEMA, check_entry


def parser() -> Parser:
    """Makes the command line."""
    made = Parser(__doc__)
    made.add_argument("--run", required=True, help="name of the run")
    made.add_argument("--entries", required=True, nargs="+", type=Path, help="files written by score.py")
    made.add_argument("--names", required=True, nargs="+", help="the experiment of each entry, in the same order")
    made.add_argument("--output", required=True, type=Path, help="metrics.json")
    return made


def main(args: argparse.Namespace) -> None:
    """Checks the entries and writes them under their experiments' names."""
    if len(args.entries) != len(args.names):
        raise InputError(
            f"{len(args.entries)} entries but {len(args.names)} names", fix="give one name for each entry, in order"
        )
    twice = sorted({name for name in args.names if args.names.count(name) > 1})
    if twice:
        raise InputError(f"experiment {twice[0]!r} is named twice", fix="each experiment has one entry")
    experiments = {}
    for name, path in zip(args.names, args.entries, strict=True):
        experiments[name] = check_entry(files.read_json(path), where=path)
    files.write_json(args.output, {"schema": SCHEMA, "run": args.run, "experiments": experiments})


if __name__ == "__main__":
    run(main, parser())
