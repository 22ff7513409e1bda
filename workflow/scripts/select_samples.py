"""Takes an experiment's cases out of a split: train, validation and test samples of these cases alone.

Run as:
    python workflow/scripts/select_samples.py --split-dir manifests/split --cases 'bagls_*' --output-dir selected

The split itself is not touched: which case is tested stays what it was.
"""

from __future__ import annotations

import argparse
from pathlib import Path

from suture import records
from suture.cli import Parser, run
from suture.records import Sample
from suture.selection import select
from suture.splitting import SPLITS


def parser() -> Parser:
    p = Parser(__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument("--split-dir", type=Path, required=True, metavar="DIR", help="train.jsonl, val.jsonl, test.jsonl")
    p.add_argument("--cases", nargs="+", required=True, metavar="CASE", help="case ids, or patterns of them")
    p.add_argument(
        "--output-dir", type=Path, required=True, metavar="DIR", help="the same three files are written here"
    )
    return p


def main(args: argparse.Namespace) -> None:
    splits = {name: records.read(args.split_dir / f"{name}.jsonl", Sample) for name in SPLITS}
    selected = select(splits, args.cases)
    for name, samples in selected.items():
        records.write(args.output_dir / f"{name}.jsonl", samples)
        print(f"{name}: {len(samples)} of {len(splits[name])} samples")


if __name__ == "__main__":
    run(main, parser())
