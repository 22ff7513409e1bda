"""Writes a checkpoint in LLaVA-Med's own layout, 1.0 or 1.5, as a model folder of family llava_med.

Run as:
    python workflow/scripts/convert_llava_med.py --model llava-med-7b --vision-tower clip-vit-large-patch14 \\
        --output models/llava-med-7b

Names change, numbers stay. A linear projector becomes two layers of which the
second is the identity; where the tokenizer has no token for an image, one is
added. The folder loads with the library's LlavaForConditionalGeneration.
"""

from __future__ import annotations

import argparse
from pathlib import Path

from suture import libraries
from suture.cli import Parser, run


def parser() -> Parser:
    """Returns the command line's parser."""
    p = Parser(__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument("--model", type=Path, required=True, metavar="DIR", help="the checkpoint; of 1.0, base + delta")
    p.add_argument("--vision-tower", type=Path, metavar="DIR", help="CLIP: openai/clip-vit-large-patch14 (1.5: -336)")
    p.add_argument("--output", type=Path, required=True, metavar="DIR", help="model folder to write")
    return p


def main(args: argparse.Namespace) -> None:
    """Converts."""
    libraries.prepare(threads=1)
    from suture import llava_layouts

    found = llava_layouts.convert(args.model, args.vision_tower, args.output)
    print(
        f"{found['language']}, {found['projector']} projector: {found['checkpoint']} tensors from the checkpoint, "
        f"{found['vision_tower']} from the vision tower, {found['made']} made"
    )


if __name__ == "__main__":
    run(main, parser())
