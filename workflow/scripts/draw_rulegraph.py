"""Writes the run's graph of rules as Mermaid text, as `snakemake --rulegraph mermaid-js` prints it."""

from __future__ import annotations

import argparse
import subprocess
import sys
from pathlib import Path

from suture import files
from suture.cli import Parser, run
from suture.errors import SutureError

ROOT = Path(__file__).parents[2]


def parser() -> Parser:
    flags = Parser(__doc__)
    flags.add_argument("--config", type=Path, required=True, help="config.resolved.yaml of the run")
    flags.add_argument("--output", type=Path, required=True, help="the graph, a .mmd file")
    return flags


def main(args: argparse.Namespace) -> None:
    # A second Snakemake beside the running one: it only reads, so it takes no lock, and no
    # profile, whose settings are not about the graph.
    command = [sys.executable, "-m", "snakemake", "--snakefile", str(ROOT / "Snakefile"), "--nolock"]
    command += ["--workflow-profile", "none", "--configfile", str(args.config), "--rulegraph", "mermaid-js"]
    done = subprocess.run(command, capture_output=True, text=True)
    if done.returncode != 0 or "flowchart" not in done.stdout:
        raise SutureError(f"snakemake could not draw its graph:\n{done.stderr}", where=args.config)
    files.write_text(args.output, done.stdout[done.stdout.index("---") :])


if __name__ == "__main__":
    run(main, parser())
