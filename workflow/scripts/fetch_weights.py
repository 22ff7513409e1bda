"""Brings a base model into a folder, once: training and prediction run offline.

Run as:
    python workflow/scripts/fetch_weights.py --family qwen2_5_vl --model small --output models/small
    python workflow/scripts/fetch_weights.py --family qwen2_5_vl --model Qwen/Qwen2.5-VL-7B-Instruct \\
        --revision COMMIT --output models/qwen

small is built here, with random weights, as is vit_base of endofm. A published
checkpoint file of endofm or surgvivqa (.pth, .pth.tar) becomes a model folder. A folder is checked and linked. A hub
model is fetched at a pinned commit into the hub's cache (HF_HOME) and linked
from there, so that an interrupted download goes on; a token for gated models
comes from the environment variable HF_TOKEN only.

Weights in PyTorch's own files (.bin, .pth) are read by the restricted
unpickler and written as safetensors. Each tensor must have its place in the
model and each place its tensor. weights.json has that table, and the digest
of each file.
"""

from __future__ import annotations

import argparse
from pathlib import Path

from suture import registry, untold
from suture.cli import Parser, run
from suture.redaction import add_token_flag, refuse_token
from suture.weights import fetch


def parser() -> Parser:
    p = Parser(__doc__)
    p.add_argument(
        "--family", required=True, metavar="NAME", help="model family", choices=registry.names("model family")
    )
    p.add_argument("--model", required=True, metavar="small|DIR|FILE|ID", help="what to fetch")
    p.add_argument("--revision", metavar="COMMIT", help="commit of a hub model")
    p.add_argument("--output", type=Path, required=True, metavar="DIR", help="model folder to write")
    p.add_argument("--labels", nargs="+", metavar="NAME", help="classes of the head in a checkpoint file, in its order")
    p.add_argument(
        "--num-frames", type=int, metavar="N", help="frames that the video encoder is to take (surgvivqa; published 16)"
    )
    untold.add_flag(p)
    add_token_flag(p)
    return p


def main(args: argparse.Namespace) -> None:
    refuse_token(args)
    found = fetch(
        args.family,
        args.model,
        args.revision,
        args.output,
        classes=args.labels,
        num_frames=args.num_frames,
        assume=args.assume,
    )
    print(f"{len(found['files'])} files, {found['parameters']:,} parameters")
    # Not before: it imports torch, which fetching from the hub must come before.
    from suture.weights_table import Table

    if "checkpoint" in found:
        print(found["checkpoint"]["words"])
    print(Table(**found["tensors"]).words)
    if found["left_out"]:
        print(f"left out: {', '.join(found['left_out'])}")


if __name__ == "__main__":
    run(main, parser())
