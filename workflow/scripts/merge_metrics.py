"""Merges the experiments' entries that score.py wrote into the run's metrics.json.

An experiment that was repeated over seeds or folds is also summed up, under
`repeats`: of each number the mean over its runs, their standard deviation,
lowest and highest, and each of them.
"""

from __future__ import annotations

import argparse
from pathlib import Path

from suture import files
from suture.cli import Parser, run
from suture.errors import InputError
from suture.metrics import SCHEMA, check_entry
from suture.repeated import summed_up


def parser() -> Parser:
    """Makes the command line."""
    made = Parser(__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    made.add_argument("--run", required=True, help="name of the run")
    made.add_argument("--entries", required=True, nargs="+", type=Path, help="files written by score.py")
    made.add_argument("--names", required=True, nargs="+", help="the experiment of each entry, in the same order")
    made.add_argument(
        "--repeats",
        nargs="+",
        default=[],
        metavar="NAME=RUN,RUN",
        help="an experiment that was repeated, and the names of its runs",
    )
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
    repeated = {name: summed_up(runs, experiments) for name, runs in map(_repeated, args.repeats)}
    files.write_json(
        args.output,
        {
            "schema": SCHEMA,
            "run": args.run,
            "experiments": experiments,
            **({"repeats": repeated} if repeated else {}),
        },
    )


def _repeated(given: str) -> tuple[str, list[str]]:
    name, _, runs = given.partition("=")
    if not name or not runs:
        raise InputError(f"--repeats {given!r} is not NAME=RUN,RUN")
    return name, runs.split(",")


if __name__ == "__main__":
    run(main, parser())
