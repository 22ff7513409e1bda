"""Makes delta weights: delta = target - base, tensor by tensor, for a model whose base may not be passed on.

Run as:
    python workflow/scripts/make_delta.py --base llama-7b --target my-llava --delta my-llava-delta

As published, a difference has the target's type: of 16-bit numbers some do not
come back to the bit, and how many is said. --exact stores those tensors in a
wider type, and every number comes back.
"""

from __future__ import annotations

import argparse
from pathlib import Path

from suture import libraries
from suture.cli import Parser, run


def parser() -> Parser:
    """Returns the command line's parser."""
    p = Parser(__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument(*("--base", "--base-model-path"), type=Path, required=True, metavar="DIR", help="the base")
    p.add_argument(*("--target", "--target-model-path"), type=Path, required=True, metavar="DIR", help="the model")
    p.add_argument(*("--delta", "--delta-path"), type=Path, required=True, metavar="DIR", help="the folder to write")
    p.add_argument("--exact", action="store_true", help="every number comes back to the bit; the delta is larger")
    return p


def main(args: argparse.Namespace) -> None:
    """Subtracts."""
    libraries.prepare(threads=1)
    from suture import delta

    found = delta.make(args.base, args.target, args.delta, exact=args.exact)
    print(", ".join(f"{count} tensors {what}" for what, count in found["tensors"].items()))
    print(f"{found['inexact']} numbers would come back with another last digit")


if __name__ == "__main__":
    run(main, parser())
