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

from suture import cluster, files, planning, profiles
from suture.cli import Parser, run
from suture.config.load import read as read_config
from suture.config.load import resolve
from suture.errors import InputError
from suture.plan_table import table
from suture.planning import Limit, Row

RULE = "train_segment"
RUNTIME = 600
"""Minutes that rules/train.smk gives a training job where no profile says otherwise."""


def parser() -> Parser:
    p = Parser(__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument(
        "--configfile", type=Path, default=Path("config.yaml"), metavar="FILE", help="(default: config.yaml)"
    )
    p.add_argument("--config", metavar="JSON", help="the configuration itself, in place of --configfile")
    p.add_argument("--profile", metavar="NAME", help="profile whose partitions and runtimes count, as snakemake's")
    p.add_argument("--runtime", type=float, metavar="MIN", help=f"minutes of a training job (default: {RUNTIME})")
    p.add_argument("--partition", metavar="NAME", help="partition of training jobs")
    p.add_argument("--gpus", type=int, metavar="N", help="cards of a training job")
    p.add_argument("--results", type=Path, default=Path("results"), metavar="DIR", help="(default: results)")
    p.add_argument("--json", action="store_true", help="a JSON list, one object an experiment")
    p.add_argument("--experiment", metavar="NAME", help="plan this one only")
    p.add_argument("--output", type=Path, metavar="FILE", help="with --experiment: its plan, to build the DAG by")
    return p


def main(args: argparse.Namespace) -> None:
    raw: dict[str, Any] = json.loads(args.config) if args.config else read_config(args.configfile)
    config = resolve(raw)
    if args.experiment:
        if args.experiment not in config.experiments:
            raise InputError(f"there is no experiment {args.experiment!r}", fix=", ".join(config.experiments))
        config = config.model_copy(update={"experiments": {args.experiment: config.experiments[args.experiment]}})
    limit, gpus, warning = limits(args)
    rows = planning.rows(config, args.results, limit, gpus)
    if args.json:
        print(json.dumps([dataclasses.asdict(row) for row in rows], indent=2))
    else:
        print(table(rows))
        if warning:
            print(warning)
    refused = [row for row in rows if row.problems]
    if refused:
        raise InputError(
            f"{', '.join(row.experiment for row in refused)} cannot fit", where="see above", fix=refused[0].problems[0]
        )
    if args.output:
        write_plan(rows[0], raw, args)


def limits(args: argparse.Namespace) -> tuple[Limit, int, str]:
    """Finds how long a training job may take: the profile's runtime, or the partition's limit where that is less.

    Returns:
        The limit, the cards that a job asks for, and what could not be looked up.
    """
    given: dict[str, Any] = {"runtime": RUNTIME}
    if args.profile:
        given = profiles.read(profiles.find(args.profile, Path())).resources(RULE, given)
    runtime = args.runtime or profiles.minutes(given["runtime"]) or RUNTIME
    name = args.partition or given.get("slurm_partition")
    gpus = args.gpus if args.gpus is not None else profiles.gpus(given) or 0
    if not name:
        return Limit(minutes=runtime, said_by="the runtime of train_segment"), gpus, ""
    found, why = cluster.partitions()
    if name not in found:
        why = why or f"there is no partition {name!r}: {', '.join(found)}"
        return Limit(minutes=runtime, said_by="the runtime of train_segment"), gpus, f"partition {name}: {why}"
    most = found[name].minutes
    if most is not None and most < runtime:
        return Limit(minutes=most, said_by=f"the limit of partition {name}"), gpus, ""
    return Limit(minutes=runtime, said_by=f"the runtime of train_segment on partition {name}"), gpus, ""


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
