"""Trains an experiment at many settings, through submitit: here, or as jobs of a SLURM queue.

Run as:
    python workflow/scripts/sweep.py --experiment qwen-small --set train.learning_rate=1e-4,2e-4 train.r=8,16
    python workflow/scripts/sweep.py --configfile config/ssgvqa.yaml --list points.yaml --executor slurm
    python workflow/scripts/sweep.py ... --dry-run          the points, and which of them are done

Each point is an experiment NAME.KEY-VALUE of the run, made by the run's own
rules: trained, predicted and scored as any other. The same command again goes
on: what is done stays, what changed is made anew, jobs that still run are
waited for. The table is sorted by the validation data. Scores, and whether a
difference counts: make compare.

Exit code 1 where a point failed, 75 where the sweep was told to stop.
"""

from __future__ import annotations

import argparse
import os
from pathlib import Path
from typing import Any

from suture import profiles, stale
from suture.cli import DEADLINE, DONE, Parser, run
from suture.config import categories
from suture.config.command_line import raw_config
from suture.config.model import Config
from suture.errors import ConfigError, InputError
from suture.profiles import Profile
from suture.sweeps import jobs, points, running, table
from suture.sweeps.points import Sweep
from suture.sweeps.running import Place, States

FAILED = 1


def parser() -> Parser:
    """Makes the command line."""
    p = Parser(__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument("--configfile", type=Path, metavar="FILE", help="as snakemake's (default: config.yaml)")
    p.add_argument(
        "--config", nargs="+", default=[], metavar="KEY=VALUE", help="as snakemake's; a FILE is taken for --configfile"
    )
    p.add_argument("--experiment", metavar="NAME", help="the one that is varied; may be left out where there is one")
    asked = p.add_mutually_exclusive_group(required=True)
    asked.add_argument(
        "--set", nargs="+", action="extend", metavar="KEY=V,V", help="values of a key, as train.learning_rate=1e-4,2e-4"
    )
    asked.add_argument("--list", type=Path, metavar="FILE", help="points by name, in YAML, in place of a grid")
    p.add_argument("--name", help="of the sweep's folder, results/RUN/sweeps/NAME (default: the experiment's)")
    p.add_argument(
        "--output", type=Path, metavar="DIR", help=f"for {table.CSV} and {table.JSON} (default: that folder)"
    )
    p.add_argument(
        "--executor",
        "--cluster",
        choices=("local", "debug", "slurm"),
        default="local",
        help="who runs the jobs: this machine, this process, or SLURM (default: local)",
    )
    p.add_argument("--profile", metavar="NAME", help="Snakemake's profile of the cluster (default with slurm: slurm)")
    p.add_argument(
        "--resources",
        nargs="+",
        default=[],
        metavar="NAME=VALUE",
        help="of a point's job, in place of the profile's: slurm_partition=gpu gpu=1 mem_mb=64000 runtime=600",
    )
    p.add_argument("--max-parallel", type=int, metavar="N", help="points at once (default: 1; with slurm all)")
    p.add_argument("--baselines", action="store_true", help="make the experiment's baselines for each point too")
    p.add_argument("-n", "--dry-run", action="store_true", help="show the points and what is to be made; start nothing")
    return p


def main(args: argparse.Namespace) -> int:
    """Carries the sweep through."""
    raw = _raw(args)
    confirmed = stale.is_yes(raw.pop("confirm", None)) or stale.is_yes(os.environ.get("SUTURE_CONFIRM"))
    raw = categories.expand(raw)
    name = str(raw.get("run") or Config.model_fields["run"].default)
    wanted = points.listed(args.list) if args.list else points.grid(args.set)
    sweep = points.expand(raw, args.experiment, wanted, run=Path("results") / name, baselines=args.baselines)
    place = Place(run=Path("results") / name, name=args.name or sweep.experiment)
    profile = _profile(args)
    given = dict(_pair(word) for word in args.resources)
    asked = jobs.resources(profile, given)
    limited = args.executor == "slurm" or (args.executor == "local" and "runtime" in given)
    minutes = jobs.minutes(asked) if limited else None
    if args.max_parallel is not None and args.max_parallel < 1:
        raise InputError(f"--max-parallel {args.max_parallel}: at least 1")
    most = args.max_parallel or (len(sweep.points) if args.executor == "slurm" else 1)
    at = jobs.Jobs(
        kind=args.executor,
        folder=place.folder / "jobs",
        locks=place.run / "work" / "sweep",
        asked=asked,
        retries=running.RETRIES,
    )
    with running.alone(place), running.told_to_stop():
        config = running.write_config(place, sweep)
        works = running.chains(place, config, sweep, at, minutes=minutes, deploy=_deployment(profile))
        states: States = {}
        try:
            found = running.plan(place, config, sweep)
            left = running.to_make(sweep, found)
            states |= {point.name: ("to make" if point.name in left else "done", "") for point in sweep.points}
            if args.dry_run:
                states |= {point: ("running", number) for point, number in at.alive(works).items()}
                return _show(args, place, sweep, states)
            running.guard(found, place, sweep.config.confirm_gpu_hours, confirmed)
            shared = running.shared(sweep, found) if left else []
            running.clear(at, works, every=bool(shared))
            if shared:
                running.make_shared(place, config, sweep, args.profile)
            adopted = running.carry_through(at, works, left, most, states)
            if adopted:
                # What made them was started with the code of then: Snakemake says what they are worth by today's.
                left = running.to_make(sweep, running.plan(place, config, sweep)) & adopted
                states |= dict.fromkeys(adopted - left, ("done", ""))
                running.carry_through(at, works, left, most, states)
        except running.Interrupted:
            if states:
                _show(args, place, sweep, states)
            print("told to stop; the same command goes on")
            return DEADLINE
        return _show(args, place, sweep, states)


def _raw(args: argparse.Namespace) -> dict[str, Any]:
    alone = [word for word in args.config if "=" not in word]
    if alone and (len(alone) > 1 or args.configfile):
        raise InputError(f"--config {' '.join(alone)}: not KEY=VALUE, and one file of configuration is read")
    args.configfile = Path(alone[0]) if alone else args.configfile
    args.config = [word for word in args.config if "=" in word]
    args.config_json = None
    return raw_config(args)


def _profile(args: argparse.Namespace) -> Profile | None:
    if args.executor == "slurm" and args.profile is None:
        args.profile = "slurm"
    return profiles.read(profiles.find(args.profile, Path())) if args.profile else None


def _deployment(profile: Profile | None) -> list[str]:
    """Returns how rules find their software, as the profile says."""
    named = (profile.keys.get("software-deployment-method") or []) if profile else []
    methods = [named] if isinstance(named, str) else list(named)
    return ["--software-deployment-method", *methods] if methods else []


def _pair(word: str) -> tuple[str, str]:
    name, equals, value = word.partition("=")
    if not equals:
        raise ConfigError(f"--resources {word}: not NAME=VALUE", fix="for example  --resources runtime=600")
    return name, value


def _show(args: argparse.Namespace, place: Place, sweep: Sweep, states: States) -> int:
    """Prints and writes the table; returns the exit code."""
    found = table.rows(sweep, place.run, states)
    print(table.words(sweep, found))
    if args.dry_run:
        return DONE
    folder = args.output or place.folder
    table.write(folder, sweep, found)
    if folder != place.folder:
        table.write(place.folder, sweep, found)
    print(f"written to {folder / table.CSV} and {table.JSON}")
    if sum(row.state == "done" for row in found) > 1:
        print(f"compare them: make compare RUNS={place.run.name}/sweeps/{place.name}")
    return DONE if all(row.state == "done" for row in found) else FAILED


if __name__ == "__main__":
    run(main, parser())
