"""Draws cholecystectomies in SSG-VQA's file formats: question folders and frames, without a download.

Run as:
    python workflow/scripts/draw_cholecystectomy.py --cases VID04 VID01 VID02 --images 40 --annotations qa/ --output f/

Writes ``qa/VID04/1.txt`` and ``f/VID04/000001.png`` and so on. Same arguments, same files.
"""

from __future__ import annotations

import argparse
from pathlib import Path

from suture import files
from suture.cli import Parser, run
from suture.datasets.ssgvqa.layout import OFFICIAL
from suture.drawing import scene_questions
from suture.errors import InputError


def parser() -> Parser:
    """Returns the command line's parser."""
    p = Parser(__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument("--cases", nargs="+", required=True, metavar="NAME", help="videos, of SSG-VQA's official names")
    p.add_argument("--images", type=int, default=40, metavar="N", help="frames of each video (40)")
    p.add_argument("--seed", type=int, default=7, metavar="N", help="another seed, other scenes (7)")
    p.add_argument("--size", type=int, default=56, metavar="N", help="width and height in pixels (56)")
    p.add_argument("--annotations", type=Path, required=True, metavar="DIR", help="folder of the questions to write")
    p.add_argument("--output", type=Path, required=True, metavar="DIR", help="folder of the frames to write")
    return p


def main(args: argparse.Namespace) -> None:
    """Draws; both folders appear when they are whole."""
    if unknown := sorted(set(args.cases) - OFFICIAL):
        raise InputError(
            f"{', '.join(unknown)}: no official video of SSG-VQA", fix=f"some of {', '.join(sorted(OFFICIAL))}"
        )
    if args.images < 1 or args.size < 32:
        raise InputError("--images must be at least 1, --size at least 32")
    with files.atomic_dir(args.annotations) as annotations, files.atomic_dir(args.output) as frames:
        scene_questions.write(
            annotations, frames, sorted(set(args.cases)), images=args.images, seed=args.seed, size=args.size
        )
    print(f"{args.images} frames of each of {len(set(args.cases))} videos drawn")


if __name__ == "__main__":
    run(main, parser())
