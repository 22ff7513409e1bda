"""Turns a trained checkpoint into a model folder: weights, configuration, processor, system prompt.

Run as:
    python workflow/scripts/export_model.py --checkpoint train/segment-2 --base models/small --output models/tuned
"""

from __future__ import annotations

import argparse
from pathlib import Path

from suture.cli import Parser, run
from suture.export import export


def parser() -> Parser:
    p = Parser(__doc__)
    p.add_argument("--checkpoint", type=Path, required=True, metavar="DIR", help="output of the last train.py segment")
    p.add_argument("--base", type=Path, required=True, metavar="DIR", help="base model of that training")
    p.add_argument("--output", type=Path, required=True, metavar="DIR", help="model folder to write")
    return p


def main(args: argparse.Namespace) -> None:
    print(export(args.checkpoint, args.base, args.output))


if __name__ == "__main__":
    run(main, parser())
