"""Draws fetal ultrasound in FADA's files: images by category, and spreadsheets in both published layouts.

Run as:
    python workflow/scripts/draw_ultrasound.py --categories Abdomen Femur --images 40 \\
        --annotations drawn/labels --output drawn/images

Everything is a function of category, number, --seed and --size; equal
arguments give equal bytes. The sheets have some of the published ones' faults:
a misspelt category, a row that stands twice, an answer that is missing, and a
category whose images await their labels.
"""

from __future__ import annotations

import argparse
from pathlib import Path

from suture import files
from suture.cli import Parser, run
from suture.drawing import fetal_files, scans
from suture.errors import InputError


def parser() -> Parser:
    """Returns the command line's parser."""
    p = Parser(__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument(
        "--categories", nargs="+", required=True, metavar="NAME", help=f"of {', '.join(sorted(scans.PARTS))}"
    )
    p.add_argument("--images", type=int, default=40, metavar="N", help="images of each category (40)")
    p.add_argument("--seed", type=int, default=7, metavar="N", help="another seed, other images (7)")
    p.add_argument("--size", type=int, default=112, metavar="N", help="width and height in pixels (112)")
    p.add_argument("--annotations", type=Path, required=True, metavar="DIR", help="folder of the spreadsheets to write")
    p.add_argument("--output", type=Path, required=True, metavar="DIR", help="folder of the images to write")
    return p


def main(args: argparse.Namespace) -> None:
    """Draws; both folders appear when they are whole."""
    if not 1 <= args.images <= 999 or args.size < 32:
        raise InputError("--images must be 1 to 999, --size at least 32")
    with files.atomic_dir(args.annotations) as annotations, files.atomic_dir(args.output) as images:
        fetal_files.write(annotations, images, args.categories, images=args.images, seed=args.seed, size=args.size)
    print(f"{args.images} images of each of {len(args.categories)} categories drawn")


if __name__ == "__main__":
    run(main, parser())
