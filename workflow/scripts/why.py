"""Shows what a run would do anew and why, how many jobs, and about how many GPU-hours that took before.

Run as:
    make why
    python workflow/scripts/why.py --configfile config/surgery-sft.yaml -- --profile slurm evaluate
    make accept                     takes stale results as they are, and keeps that in the ledger

Asks `snakemake -n`, with all that stands after `--`. Nothing is run or changed,
unless with --accept: that is `snakemake --touch`, by which results count as
made by today's code and options, though they were not.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import textwrap
from collections import Counter
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path

from suture import dry_run, stale
from suture.cli import Parser, run
from suture.config.command_line import add_config_flags, raw_config
from suture.config.model import Config
from suture.stale import Job


def parser() -> Parser:
    p = Parser(__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    add_config_flags(p)
    p.add_argument("--json", action="store_true", help="a JSON object: jobs, GPU-hours")
    p.add_argument("--accept", action="store_true", help="take stale results as they are")
    p.add_argument("snakemake", nargs="*", metavar="OPTION", help="further options and targets of snakemake, after --")
    return p


def main(args: argparse.Namespace) -> int:
    words = [*(["--configfile", str(args.configfile)] if args.configfile else [])]
    words += [*(["--config", *args.config] if args.config else []), *args.snakemake]
    found = dry_run.planned(words)
    folder, allowed = settings(args)
    if args.json:
        redone, new = stale.redone(found, folder), stale.first(found, folder)
        jobs = [asdict(job) for job in found]
        print(json.dumps({"jobs": jobs, "redone": asdict(redone), "new": asdict(new), "allowed": allowed}, indent=2))
    else:
        print(words_of(found, folder, allowed))
    if not args.accept:
        return 0
    made = [job for job in found if job.made]
    if not made:
        print("nothing to accept: no result that is there is stale")
        return 0
    code = subprocess.run(
        [sys.executable, "-m", "snakemake", "--touch", "--quiet", "all", *words], check=False
    ).returncode
    if code == 0:
        print(f"accepted: the results of {len(made)} jobs count as up to date; {folder}/ledger.jsonl says so")
    return 2 if code else 0


def settings(args: argparse.Namespace) -> tuple[Path, float]:
    """Returns the folder of the run and the GPU-hours that may be spent again without asking."""
    raw = raw_config(args)
    name, allowed = (raw.get(key, Config.model_fields[key].default) for key in ("run", "confirm_gpu_hours"))
    return args.results / str(name), float(allowed)


def words_of(found: Sequence[Job], folder: Path, allowed: float) -> str:
    """Words what a run would do."""
    if not found:
        return "nothing to do: every result is what today's code, options and data make"
    made = [job for job in found if job.made]
    lines = [f"{len(found)} jobs: {len(made)} make results anew, {len(found) - len(made)} make what is not there", ""]
    for title, which in (("stale, and why:", True), ("not there yet:", False)):
        causes = stale.reasons(found, made=which)
        lines += [title, *(f"  {cause}" for cause in causes[:20])] if causes else []
        lines += [f"  and {len(causes) - 20} more"] if len(causes) > 20 else []
    following = Counter(job.rule for job in made if not job.causes)
    if following:
        counted = ", ".join(f"{rule} {number}" for rule, number in sorted(following.items()))
        lines += textwrap.wrap(
            f"made anew because they follow from these: {counted}", 100, subsequent_indent="  ", break_on_hyphens=False
        )
    redone, new = stale.redone(found, folder), stale.first(found, folder)
    lines += ["", f"made anew: results that took about {redone.gpu_hours:.1f} GPU-hours{_unknown(redone)}"]
    lines.append(f"for the first time: training of about {new.gpu_hours:.1f} GPU-hours{_unknown(new)}")
    if redone.gpu_hours > allowed:
        lines += [
            f"\nThat is more than confirm_gpu_hours ({allowed:g}): a run stops at its start, unless it is given",
            "  --config confirm=yes   or   SUTURE_CONFIRM=yes in the environment",
            "`make accept` takes the stale results as they are.",
        ]
    return "\n".join(lines)


def _unknown(cost: stale.Cost) -> str:
    if not cost.unknown:
        return ""
    return f"; not known of {len(cost.unknown)} jobs ({cost.unknown[0]}, ...)"


if __name__ == "__main__":
    run(main, parser())
