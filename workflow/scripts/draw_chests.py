"""Draws chest radiographs with reports in MIMIC-CXR's files: tables, official split, reports, the tree of images.

Run as:
    python workflow/scripts/draw_chests.py --images 120 --annotations drawn/mimic --output drawn/images

--images counts patients, who have one to three studies. Everything is a
function of number, --seed and --size; equal arguments give equal bytes. Some
studies have a lateral view alone, no report, or one without sections.
"""

from __future__ import annotations

import argparse
from pathlib import Path

from suture import files
from suture.cli import Parser, run
from suture.drawing import chest_files
from suture.errors import InputError


def parser() -> Parser:
    """Returns the command line's parser."""
    p = Parser(__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument("--images", type=int, default=40, metavar="N", help="patients (40)")
    p.add_argument("--seed", type=int, default=7, metavar="N", help="another seed, other chests (7)")
    p.add_argument("--size", type=int, default=112, metavar="N", help="width and height in pixels (112)")
    p.add_argument("--annotations", type=Path, required=True, metavar="DIR", help="folder of tables and reports")
    p.add_argument("--output", type=Path, required=True, metavar="DIR", help="folder of the images to write")
    return p


def main(args: argparse.Namespace) -> None:
    """Draws; both folders appear when they are whole."""
    if not 1 <= args.images <= 999 or args.size < 32:
        raise InputError("--images must be 1 to 999, --size at least 32")
    with files.atomic_dir(args.annotations) as annotations, files.atomic_dir(args.output) as images:
        count = chest_files.write(annotations, images, images=args.images, seed=args.seed, size=args.size)
    print(f"{count} images of {args.images} patients drawn")


if __name__ == "__main__":
    run(main, parser())
