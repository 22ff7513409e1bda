"""Runs a frozen vision tower once over the frames of each clip: its outputs, into one memory-mappable array a shard.

Run as:
    python workflow/scripts/cache_features.py --family qwen2_5_vl --model models/qwen \\
        --frames-cache cache/frames/shard-0.jsonl --dtype bf16 \\
        --output cache/features/shard-0.jsonl --array cache/features/shard-0.npy

The array is [visual tokens, width of the language model], as the tower and the
projector give them: float32, float16, or bfloat16 as its bits in uint16. The
manifest has one line a clip: its rows, the digest of the frames, and what made
them. Training takes them by --features-cache where they are what its own tower
would give, and refuses them where not. Clips without frames are passed on.
"""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

from suture import libraries, model_folder, records, registry
from suture.cli import Parser, run


def parser() -> Parser:
    """Returns the command line's parser."""
    p = Parser(__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument(
        "--family", required=True, metavar="NAME", help="model family", choices=registry.names("model family")
    )
    p.add_argument("--model", type=Path, required=True, metavar="DIR", help="base model, a folder of fetch_weights.py")
    p.add_argument("--frames-cache", type=Path, nargs="+", required=True, metavar="FILE", help="cache_frames manifests")
    p.add_argument(
        "--dtype",
        choices=("fp32", "bf16", "fp16"),
        default="bf16",
        help="arithmetic of the forward pass, as --precision of train.py (bf16)",
    )
    p.add_argument(
        "--weights",
        choices=("fp32", "bf16"),
        help="type that the weights are held in; default: as under adapters, bf16 with --dtype bf16, else fp32",
    )
    p.add_argument(
        "--attention",
        choices=("sdpa", "flash_attention_2", "eager"),
        default="sdpa",
        help="how attention is computed (sdpa)",
    )
    p.add_argument("--output", type=Path, required=True, metavar="FILE", help="manifest to write")
    p.add_argument("--array", type=Path, required=True, metavar="FILE", help="array to write, .npy")
    p.add_argument(
        "--threads", type=int, default=1, metavar="N", help="CPU threads; equal features need an equal number (1)"
    )
    return p


def main(args: argparse.Namespace) -> None:
    """Loads the model, computes, writes."""
    model_folder.check_family(args.model, args.family)
    libraries.prepare(threads=args.threads)
    # Not before: they import torch.
    import torch

    from suture import features
    from suture.frames import CachedClip, FrameCache
    from suture.models.base import Video
    from suture.pretrained import usable_attention

    frames = FrameCache(args.frames_cache)
    clips: list[CachedClip] = [clip for path in args.frames_cache for clip in records.read(path, CachedClip)]
    attention, instead = usable_attention(args.attention)
    if instead:
        print(f"attention: {attention}, since {instead}", flush=True)
    held = args.weights or ("bf16" if args.dtype == "bf16" else "fp32")
    model: Any = registry.family(args.family).load(args.model, dtype=features.PRECISIONS[held], attention=attention)
    for clip in clips:
        if not clip.rejected:
            model.check_size(clip.height, clip.width)
    maker = features.maker_of(model, args.model, args.dtype)
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    model.model.to(device)

    def compute(clip: CachedClip) -> torch.Tensor:
        video = Video(frames=frames.frames(clip.clip), frame_seconds=clip.frame_seconds)
        with features.arithmetic_of(args.dtype, device):
            tokens: torch.Tensor = model.features([video])[0]
        return tokens

    features.write_shard(clips, compute=compute, maker=maker, manifest=args.output, array=args.array)
    left_out = sum(bool(clip.rejected) for clip in clips)
    print(f"features of {len(clips) - left_out} clips cached, {left_out} without frames passed on")


if __name__ == "__main__":
    run(main, parser(), gpus=True)
