"""Deletes the cached frames and features of all runs, wherever they lie; jobs that need them make them again.

Run as:
    make clean-cache
    python workflow/scripts/clean_cache.py --results results

Only files that Suture made are deleted; others, and their folders, stay and are named.
"""

from __future__ import annotations

import argparse
from pathlib import Path

from suture import caches
from suture.cli import Parser, run


def parser() -> Parser:
    p = Parser(__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument("--results", type=Path, default=Path("results"), metavar="DIR", help="folder of runs")
    return p


def main(args: argparse.Namespace) -> None:
    number, size, left = caches.clean(args.results)
    print(f"{number} files deleted, {size / 1e9:.2f} GB")
    if left:
        print(f"left where they are, not made here: {', '.join(map(str, left[:5]))}{', ...' if left[5:] else ''}")


if __name__ == "__main__":
    run(main, parser())
