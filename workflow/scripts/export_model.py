"""Turns a trained checkpoint into a model folder: weights, configuration, processor, system prompt.

Run as:
    python workflow/scripts/export_model.py --checkpoint train/segment-2 --base models/small --output models/tuned

Adapters (LoRA, QLoRA) are merged into the base as it was fetched, never into
the 4-bit one, and the folder is kept only if its logits are those of base and
adapters; they lie beside it in adapter/.
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
    p.add_argument(
        "--merge",
        action=argparse.BooleanOptionalAction,
        default=True,
        help="merge adapters into the base; else they are written alone, with the processor",
    )
    p.add_argument("--threads", type=int, default=1, metavar="N", help="CPU threads for merging adapters")
    return p


def main(args: argparse.Namespace) -> None:
    print(export(args.checkpoint, args.base, args.output, threads=args.threads, merge=args.merge))


if __name__ == "__main__":
    run(main, parser())
