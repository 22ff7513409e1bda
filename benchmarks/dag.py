"""How long Snakemake needs to look at a large run: its dry run, and a run with nothing to do.

Cases have annotations and (empty) videos; outputs are made as empty files and
recorded with `snakemake --touch`, since what is timed is the DAG, not the jobs.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import time
from pathlib import Path
from tempfile import TemporaryDirectory

import yaml

sys.path.insert(0, str(Path(__file__).parents[1] / "workflow" / "scripts"))

from suture import files
from suture.cli import Parser, run

ROOT = Path(__file__).parents[1]
PHASES = "caseId,comment,frame,endFrame,sec,endSec\n{case},Incision,60,1200,1.0,20.0\n"
AIM_S = {1_000: 5.0, 10_000: 20.0}


def parser() -> Parser:
    flags = Parser(__doc__)
    flags.add_argument("--cases", type=int, nargs="+", default=[1_000, 10_000], help="numbers of cases")
    flags.add_argument("--output", type=Path, help="write the rows as JSON")
    return flags


def make_run(where: Path, cases: int) -> Path:
    """Writes annotations, videos and the configuration of a run; returns the configuration."""
    for number in range(cases):
        case = f"case_{number:05d}"
        folder = where / "data" / "phase_annotations" / case
        folder.mkdir(parents=True)
        (folder / f"{case}_annotations_phases.csv").write_text(PHASES.format(case=number))
        video = where / "data" / "videos" / f"{case}.mp4"
        video.parent.mkdir(exist_ok=True)
        video.touch()
    config = yaml.safe_load((ROOT / "tests" / "dag" / "tiny.yaml").read_text())
    for key in ("draw", "cases"):
        del config[key]
    config |= {"run": "large", "annotations": "data", "videos": "data/videos", "shards": 64}
    files.write_text(where / "large.yaml", yaml.safe_dump(config))
    for name in ("Snakefile", "rules", "workflow", "profiles", "envs"):
        (where / name).symlink_to(ROOT / name)
    return where / "large.yaml"


def snakemake(where: Path, *args: str) -> tuple[float, str]:
    """Runs snakemake and returns its wall time in seconds and what it printed."""
    began = time.perf_counter()
    done = subprocess.run(
        [sys.executable, "-m", "snakemake", "--configfile", "large.yaml", *args],
        cwd=where,
        text=True,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
    )
    seconds = time.perf_counter() - began
    if done.returncode:
        sys.exit(done.stdout[-3000:])
    return seconds, done.stdout


def measure(cases: int) -> dict[str, object]:
    """Times one size; each time is a whole process, the second of two so that files are in memory."""
    with TemporaryDirectory() as folder:
        where = Path(folder)
        make_run(where, cases)
        _, printed = snakemake(where, "-n")
        jobs = next(int(line.split()[1]) for line in printed.splitlines() if line.startswith("total "))
        dry, _ = snakemake(where, "-n", "--quiet")
        _, summary = snakemake(where, "--summary")
        for line in summary.splitlines():
            if line.startswith("results/"):
                output = where / line.split("\t")[0]
                output.parent.mkdir(parents=True, exist_ok=True)
                if output.suffix:
                    output.touch()
                else:
                    output.mkdir(exist_ok=True)
        snakemake(where, "--touch", "--quiet")
        idle, printed = snakemake(where)
        if "Nothing to be done" not in printed:
            sys.exit(f"the idle run was not idle:\n{printed[-3000:]}")
    return {
        "cases": cases,
        "jobs": jobs,
        "dry_run_s": round(dry, 1),
        "aim_s": AIM_S.get(cases),
        "idle_run_s": round(idle, 1),
    }


def main(args: argparse.Namespace) -> None:
    os.environ["PYTHONUNBUFFERED"] = "1"
    rows = [measure(cases) for cases in args.cases]
    print("| cases | jobs | dry run | aim | idle run |\n|---|---|---|---|---|")
    for row in rows:
        print(f"| {row['cases']} | {row['jobs']} | {row['dry_run_s']} s | {row['aim_s']} s | {row['idle_run_s']} s |")
    if args.output:
        files.write_json(args.output, {"benchmark": "dag", "rows": rows})


if __name__ == "__main__":
    run(main, parser())
