"""Draws endoscopies whose class is in the motion, in the layout of the adapter video_folder.

Run as:
    python workflow/scripts/draw_endoscopy.py --cases bagls.p01 bagls.p02 balanced.p01 --clips 8 --output drawn/

A case is a patient of a dataset. Each dataset gets a folder with splits/ and
videos/; the first half of its patients are train, the next quarter val, the
rest test. The classes are withdrawal and advance: one frame does not tell them
apart. A clip is a function of its name, --seed, --size and --fps.
"""

from __future__ import annotations

import argparse
import re
from pathlib import Path

from suture import files
from suture.cli import Parser, run
from suture.drawing import endoscopy
from suture.errors import InputError


def parser() -> Parser:
    """Returns the command line's parser."""
    p = Parser(__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument("--cases", nargs="+", required=True, metavar="DATASET.PATIENT", help="patients to draw")
    p.add_argument("--clips", type=int, default=8, metavar="N", help="clips of each patient (8)")
    p.add_argument("--seed", type=int, default=7, metavar="N", help="seed of the drawings (7)")
    p.add_argument("--size", type=int, default=64, metavar="N", help="width and height in pixels (64)")
    p.add_argument("--fps", type=int, default=10, metavar="N", help="frames a second (10)")
    p.add_argument("--output", type=Path, required=True, metavar="DIR", help="folder of the datasets to write")
    return p


def main(args: argparse.Namespace) -> None:
    """Draws all clips; the folder appears when it is whole."""
    for name in args.cases:
        if not re.fullmatch(r"[A-Za-z0-9_-]+\.[A-Za-z0-9_-]+", name):
            raise InputError(f"case {name!r} is not DATASET.PATIENT", fix="for example balanced.p01")
    if args.clips < 1 or args.size < 32 or args.size % 2 or args.fps < 1:
        raise InputError("--clips and --fps must be above 0, --size even and at least 32")
    clips = endoscopy.plan(args.cases, clips=args.clips, seed=args.seed)
    with files.atomic_dir(args.output) as temporary:
        endoscopy.write(temporary, clips, seed=args.seed, size=args.size, fps=args.fps)
    print(f"{len(clips)} clips of {len(args.cases)} patients drawn")


if __name__ == "__main__":
    run(main, parser())
