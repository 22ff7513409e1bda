"""Shows what each experiment will take: time, jobs, GPU-hours, disk, memory; refuses what cannot fit.

Run as:
    make plan                                          what is known now; starts nothing
    snakemake plan                                     measures first, where nothing was measured
    python workflow/scripts/plan.py --configfile config/surgery-sft.yaml --profile slurm

Exit code 2 where an experiment cannot fit: its job is longer than the queue's
limit, its batch larger than the memory, its files more than the disk has. With
--experiment and --output, writes the plan that `epochs` and `steps_per_job:
auto` become numbers by.
"""

from __future__ import annotations

import argparse
import dataclasses
import json
from pathlib import Path
from typing import Any

from suture import cache_room, files, limits, planning, profiles
from suture.cli import Parser, run
from suture.config.command_line import add_config_flags, raw_config
from suture.config.load import resolve
from suture.errors import InputError
from suture.plan_table import table, wrapped
from suture.planning import Row


def parser() -> Parser:
    p = Parser(__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    add_config_flags(p)
    p.add_argument("--profile", metavar="NAME", help="profile whose partitions and runtimes count, as snakemake's")
    p.add_argument(
        "--runtime", type=float, metavar="MIN", help=f"minutes of a training job (default: {limits.RUNTIME})"
    )
    p.add_argument("--partition", metavar="NAME", help="partition of training jobs")
    p.add_argument("--gpus", type=int, metavar="N", help="cards of a training job")
    p.add_argument("--json", action="store_true", help="a JSON list, one object an experiment")
    p.add_argument("--experiment", metavar="NAME", help="plan this one only")
    p.add_argument("--output", type=Path, metavar="FILE", help="with --experiment: its plan, to build the DAG by")
    return p


def main(args: argparse.Namespace) -> None:
    raw = raw_config(args)
    config = resolve(raw)
    if args.experiment:
        if args.experiment not in config.experiments:
            raise InputError(f"there is no experiment {args.experiment!r}", fix=", ".join(config.experiments))
        config = config.model_copy(update={"experiments": {args.experiment: config.experiments[args.experiment]}})
    profile = profiles.read(profiles.find(args.profile, Path())) if args.profile else None
    limit, gpus, warning = limits.of(profile, runtime=args.runtime, partition=args.partition, gpus=args.gpus)
    rows = planning.rows(config, args.results, limit, gpus)
    room = cache_room.of(config, args.results / config.run)
    if args.json:
        print(json.dumps([dataclasses.asdict(row) for row in rows], indent=2))
    else:
        print(table(rows))
        print("\n".join(wrapped("", room.words)))
        if warning:
            print(warning)
    refused = [row for row in rows if row.problems]
    if refused:
        raise InputError(
            f"{', '.join(row.experiment for row in refused)} cannot fit", where="see above", fix=refused[0].problems[0]
        )
    if room.problem:
        raise InputError(room.problem, where="storage.cache", fix="make room, or set storage.cache to another disk")
    if args.output:
        write_plan(rows[0], raw, args)


def write_plan(row: Row, raw: dict[str, Any], args: argparse.Namespace) -> None:
    """Writes what the DAG is built by."""
    run_folder = args.results / raw.get("run", "demo")
    train = raw["experiments"][row.experiment]["train"]
    settled = planning.settled(row, train, planning.split_samples(run_folder))
    if settled is None:
        raise InputError(f"experiment {row.experiment} cannot be planned yet: {'; '.join(row.notes)}")
    files.write_json(args.output, dataclasses.asdict(settled))
    print(f"{row.experiment}: {settled.max_steps} steps in {len(settled.borders)} jobs, to {settled.borders}")


if __name__ == "__main__":
    run(main, parser())
