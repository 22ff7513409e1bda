"""Decodes each clip once: its frames, at the model's size, into one memory-mappable array a shard.

Run as:
    python workflow/scripts/cache_frames.py --clips shard-0.jsonl --clips-dir clips \\
        --frames 8 --size 56 56 --output cache/shard-0.jsonl --array cache/shard-0.npy

The array is uint8 [frames, height, width, RGB]. The manifest has one line a
clip: its rows, the exact numbers of its frames in the clip file, what decoded
them, and the digests of file and pixels. The bytes of both do not depend on --workers.

Clips are decoded in processes of their own. A clip that cannot be read, that ends the
process or is not done in time is a counted rejection. An image gives its one
frame with --fps, and N times the same frame with --frames N.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator, Sequence
from functools import partial
from pathlib import Path

from suture import files, records
from suture.cli import Parser, run, share
from suture.decoding import DECODERS, Wanted, decode_each
from suture.errors import InputError
from suture.frame_sampling import at_rate, evenly
from suture.frames import Decoded, Refused, write_shard
from suture.records import Clip, Sample


def parser() -> Parser:
    """Returns the command line's parser."""
    p = Parser(__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument("--clips", type=Path, required=True, metavar="FILE", help="manifest of the clips of one shard")
    p.add_argument("--clips-dir", type=Path, required=True, metavar="DIR", help="folder that the clips' paths start at")
    p.add_argument(
        "--samples", type=Path, nargs="+", metavar="FILE", help="cache only clips that these samples ask about"
    )
    sampling = p.add_mutually_exclusive_group(required=True)
    sampling.add_argument("--frames", type=int, metavar="N", help="frames a clip, evenly spaced")
    sampling.add_argument("--fps", type=float, metavar="F", help="frames a second of clip (published: 2)")
    sampling.add_argument("--all", action="store_true", help="all frames: training draws from them anew each epoch")
    p.add_argument("--size", type=int, nargs=2, required=True, metavar=("H", "W"), help="size in pixels")
    p.add_argument(
        "--decoder",
        choices=DECODERS,
        default="auto",
        help="auto: decord, and PyAV where decord fails; images are always PyAV's (auto)",
    )
    p.add_argument(
        "--seconds-per-clip",
        type=float,
        default=120,
        metavar="S",
        help="time limit of one decoder on one clip (120)",
    )
    p.add_argument("--workers", type=int, default=2, metavar="N", help="processes that decode (2)")
    p.add_argument("--memory", type=int, metavar="MB", help="memory of all processes together; default: no limit")
    p.add_argument("--output", type=Path, required=True, metavar="FILE", help="manifest to write")
    p.add_argument("--array", type=Path, required=True, metavar="FILE", help="array to write, .npy")
    p.add_argument("--rejected", type=Path, metavar="FILE", help="write the clips left out, with reasons")
    p.add_argument(
        "--max-rejected", type=share, default=0.1, metavar="SHARE", help="largest share of unusable clips (0.1)"
    )
    return p


def main(args: argparse.Namespace) -> None:
    """Reads the manifest, decodes, writes."""
    for name in ("frames", "fps", "seconds_per_clip", "workers", "memory"):
        value = getattr(args, name)
        if value is not None and not value > 0:
            raise InputError(f"--{name.replace('_', '-')} must be above 0, not {value}")
    if min(args.size) < 1:
        raise InputError("--size must be above 0")
    clips: list[Clip] = records.read(args.clips, Clip)
    records.check_unique([clip.id for clip in clips], what="clip", where=args.clips)
    if args.samples:
        asked = {sample.clip for path in args.samples for sample in records.read(path, Sample)}
        clips = [clip for clip in clips if clip.id in asked]
    rejections = write_shard(
        clips,
        decode=partial(_decode, args=args),
        size=(args.size[0], args.size[1]),
        manifest=args.output,
        array=args.array,
        max_rejected=args.max_rejected,
    )
    if args.rejected:
        records.write(args.rejected, rejections)
    print(f"{len(clips) - len(rejections)} clips cached, {len(rejections)} left out")


def _decode(clips: Sequence[Clip], *, args: argparse.Namespace) -> Iterator[Decoded | Refused]:
    return decode_each(
        [_wanted(clip, args) for clip in clips],
        decoder=args.decoder,
        workers=args.workers,
        seconds=args.seconds_per_clip,
        megabytes=args.memory and _share_of(args.memory, args.workers),
    )


def _wanted(clip: Clip, args: argparse.Namespace) -> Wanted | Refused:
    """Says which frames to cache: a number of them, or some a second; an image has one frame and no rate."""
    path = files.inside(args.clips_dir, clip.path)
    if clip.n_frames < 1:
        return Refused(reason="no_frames", problem="the clip has no frames")
    if args.all:
        numbers = list(range(clip.n_frames))
    elif args.frames is not None:
        numbers = evenly(clip.n_frames, args.frames)
    elif clip.method == "image":
        numbers = [0]
    elif clip.fps <= 0:
        return Refused(reason="no_frame_rate", problem=f"its manifest says {clip.fps:g} frames a second")
    else:
        numbers = at_rate(clip.n_frames, clip.fps, args.fps)
    return Wanted(
        path=path,
        sha256=clip.sha256,
        indices=tuple(clip.first_frame + number for number in numbers),
        size=(args.size[0], args.size[1]),
        image=clip.method == "image",
    )


def _share_of(megabytes: int, workers: int) -> int:
    """Divides memory among the workers and this process, which keeps some of their results."""
    return max(1, megabytes // (workers + 1))


if __name__ == "__main__":
    run(main, parser())
