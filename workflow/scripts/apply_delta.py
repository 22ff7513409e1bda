"""Adds delta weights to their base: target = base + delta, tensor by tensor.

Run as:
    python workflow/scripts/apply_delta.py --base llama-7b --delta LLaVA-7b-delta-v0 --target LLaVA-7b-v0

Base and delta are Hugging Face folders with .bin shards or safetensors; the
delta may be a hub id with --revision. The memory needed is that of the largest
tensor, a few hundred MB for 7B, not the published 30 GB. The target has
safetensors, the delta's tokenizer and configuration, and applied_delta.json
with the digests of all files. A tensor that has no counterpart or another shape
is named, and nothing is written. fetch_weights.py --family llava_med then makes
it a model that trains here.
"""

from __future__ import annotations

import argparse
from pathlib import Path

from suture import hub, libraries
from suture.cli import Parser, run


def parser() -> Parser:
    """Returns the command line's parser."""
    p = Parser(__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument(
        *("--base", "--base-model-path"), type=Path, required=True, metavar="DIR", help="the base: LLaMA in HF's format"
    )
    p.add_argument(*("--delta", "--delta-path"), required=True, metavar="DIR|ID", help="the difference")
    p.add_argument(
        *("--target", "--target-model-path"), type=Path, required=True, metavar="DIR", help="the model folder to write"
    )
    p.add_argument("--revision", metavar="COMMIT", help="commit of a delta on the hub")
    return p


def main(args: argparse.Namespace) -> None:
    """Adds."""
    folder = Path(args.delta) if Path(args.delta).is_dir() else hub.cached(args.delta, args.revision)
    libraries.prepare(threads=1)
    from suture import delta

    found = delta.apply(args.base, folder, args.target)
    print(", ".join(f"{count} tensors {what}" for what, count in found["tensors"].items()))


if __name__ == "__main__":
    run(main, parser())
