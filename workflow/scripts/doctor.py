"""Says what would fail later, in plain words, each with its cure: before hours are spent in a queue.

Run as:
    make doctor
    python workflow/scripts/doctor.py --configfile config/surgery-sft.yaml --profile slurm

Looks at software, configuration, data, weights, tokens (whether they are set,
never at their value), profile, cluster, conda, GPU, disk and plan. Changes
nothing, and starts nothing. Exit code 2 where something would fail.
"""

from __future__ import annotations

import argparse
import dataclasses
import json
from collections import Counter
from pathlib import Path

from suture import files, profiles
from suture.checks import GROUPS, HEAVY, findings
from suture.checks.base import Setting
from suture.checks.words import lines
from suture.cli import BAD_INPUT, DONE, Parser, run
from suture.config.command_line import DEFAULT, add_config_flags, raw_config
from suture.config.load import resolve
from suture.errors import SutureError


def parser() -> Parser:
    p = Parser(__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    add_config_flags(p)
    p.add_argument("--profile", metavar="NAME", help="as snakemake's; without it jobs run here")
    p.add_argument("--only", nargs="+", choices=list(GROUPS), metavar="GROUP", help=f"some of: {', '.join(GROUPS)}")
    p.add_argument("--json", action="store_true", help="a JSON list, one object a finding")
    return p


def main(args: argparse.Namespace) -> int:
    chosen = {name: check for name, check in GROUPS.items() if name in (args.only or GROUPS.keys() - HEAVY)}
    found = list(findings(setting(args), chosen))
    counts = Counter(finding.status for _, finding in found)
    if args.json:
        print(json.dumps([{"group": name, **dataclasses.asdict(finding)} for name, finding in found], indent=2))
    else:
        for name, finding in found:
            print("\n".join(lines(name, finding)))
        print(f"\n{counts['FAIL']} would fail, {counts['WARN']} to look at, {counts['PASS']} in order")
    return BAD_INPUT if counts["FAIL"] else DONE


def setting(args: argparse.Namespace) -> Setting:
    """Reads configuration and profile; what cannot be read is said by the checks."""
    raw, config, problem, text = {}, None, "", ""
    try:
        text = "" if args.config_json else files.read_text(args.configfile or DEFAULT)
        raw = raw_config(args)
        config = resolve(raw)
    except SutureError as error:
        problem = str(error)
    profile, profile_problem = None, ""
    if args.profile:
        try:
            profile = profiles.read(profiles.find(args.profile, Path()))
        except SutureError as error:
            profile_problem = str(error)
    return Setting(
        raw=raw,
        config=config,
        config_problem=problem,
        config_text=text,
        profile=profile,
        profile_problem=profile_problem,
        results=args.results,
    )


if __name__ == "__main__":
    run(main, parser())
