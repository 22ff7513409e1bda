"""Gathers the clip manifests of several cases into one, sorted by id; the same for what was left out."""

from __future__ import annotations

import argparse
from pathlib import Path

from suture import records
from suture.cli import Parser, run
from suture.gathering import gather, gather_rejections
from suture.records import Clip


def parser() -> Parser:
    """Returns the command line's parser."""
    p = Parser(__doc__)
    p.add_argument("--clips", type=Path, nargs="+", required=True, help="clip manifests")
    p.add_argument("--rejected", type=Path, nargs="+", required=True, help="their lists of what was left out")
    p.add_argument("--output", type=Path, required=True, help="the manifest of all clips")
    p.add_argument("--output-rejected", type=Path, required=True, help="the list of all that was left out")
    return p


def main(args: argparse.Namespace) -> None:
    """Reads all manifests, refuses an id that occurs twice, writes the two files."""
    clips = gather(args.clips, Clip)
    rejected = gather_rejections(args.rejected)
    records.write(args.output, clips)
    records.write(args.output_rejected, rejected)


if __name__ == "__main__":
    run(main, parser())
