"""Stops a run whose splits share what they must not: the gate between splitting and training.

Run as:
    python workflow/scripts/check_leaks.py --train train.jsonl --val val.jsonl --test test.jsonl \\
        --split-info split.json --clips clips.jsonl --frames-cache cache/shard-*.jsonl --output leaks.json

Compared across splits: cases, clips, the digests of clips and of the videos
they were cut from, and perceptual hashes of the cached frames (64-bit DCT
hashes; frames of almost one colour have none). A leak ends the command with
both clips' names and writes nothing. With --on-leak report it is written down,
and every score made with that file is marked leaky; so it is by default where
the split is by clip, which is leaky by design.

What is known of the pretrained weights and the dataset (--weights, --dataset)
is listed with its source: no frame can show it.
"""

from __future__ import annotations

import argparse
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from suture import files, known_overlaps, leaks, records
from suture.cli import Parser, run, share
from suture.errors import InputError
from suture.frames import FrameCache
from suture.perceptual_hash import hashes
from suture.progress import progress
from suture.records import Clip, Sample
from suture.splitting import SPLITS


def parser() -> Parser:
    """Returns the command line's parser."""
    p = Parser(__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    for name in SPLITS:
        p.add_argument(f"--{name}", type=Path, required=True, metavar="FILE", help=f"samples of {name}")
    p.add_argument("--split-info", type=Path, required=True, metavar="FILE", help="split_dataset's split.json")
    p.add_argument("--clips", type=Path, required=True, metavar="FILE", help="clips manifest")
    p.add_argument("--frames-cache", type=Path, nargs="+", required=True, metavar="FILE", help="cache_frames manifests")
    p.add_argument(
        "--on-leak", choices=["stop", "report"], help="what a leak does (stop; with a split by clip: report)"
    )
    p.add_argument("--distance", type=int, default=4, metavar="BITS", help="hashes of one frame may differ in (4)")
    p.add_argument(
        "--share", type=share, default=0.5, metavar="SHARE", help="of a clip's frames that must be in the other (0.5)"
    )
    p.add_argument("--dataset", nargs="+", default=[], metavar="NAME", help="published datasets that the clips are of")
    p.add_argument("--weights", nargs="+", default=[], metavar="NAME", help="pretrained weights that are trained on")
    p.add_argument("--output", type=Path, required=True, metavar="FILE", help="JSON: what was found")
    return p


def main(args: argparse.Namespace) -> None:
    """Compares the splits, and stops or writes the result."""
    if not 0 <= args.distance <= 16:
        raise InputError(f"--distance {args.distance}", fix="0 to 16 of 64 bits; unrelated frames differ in about 32")
    splits: dict[str, list[Sample]] = {name: records.read(getattr(args, name), Sample) for name in SPLITS}
    clips = _clips(args.clips, splits)
    unit, declared = _split_info(args.split_info)
    cache = FrameCache(args.frames_cache)
    cached, frames = _hashed(splits, cache)
    near = leaks.alike(cached, distance=args.distance, share=args.share)
    found = leaks.recorded(splits, clips) + leaks.seen(near, cache.frames, distance=args.distance, share=args.share)
    known = known_overlaps.find(args.weights, args.dataset)
    counts = dict(sorted(Counter(leak.kind for leak in found).items()))
    for line in [*map(str, found), *(f"{one.weights} and {one.dataset}: {one.status}: {one.what}" for one in known)]:
        print(line)
    print(f"{frames['hashed']} frames compared, {frames['flat']} almost of one colour, {len(found)} leaks")
    on_leak = args.on_leak or ("report" if unit == "clip" else "stop")
    if on_leak == "stop":
        leaks.check(found)
    files.write_json(
        args.output,
        {
            "leaky": declared or bool(found),
            "on_leak": on_leak,
            "distance": args.distance,
            "share": args.share,
            "frames": frames,
            "counts": counts,
            "leaks": [leak.to_json() for leak in found],
            "known_overlaps": [one.to_json() for one in known],
        },
    )


def _clips(path: Path, splits: Mapping[str, Sequence[Sample]]) -> dict[str, Clip]:
    clips = {clip.id: clip for clip in records.read(path, Clip)}
    for samples in splits.values():
        for sample in samples:
            if sample.clip not in clips:
                raise InputError(f"sample {sample.id} is about clip {sample.clip}, which is not there", where=path)
    return clips


def _split_info(path: Path) -> tuple[str, bool]:
    split: Any = files.read_json(path)
    if not isinstance(split, dict) or not isinstance(split.get("leaky"), bool) or "unit" not in split:
        raise InputError("does not say what the split is by", where=path, fix="give split_dataset's split.json")
    return str(split["unit"]), split["leaky"]


def _hashed(
    splits: Mapping[str, Sequence[Sample]], cache: FrameCache
) -> tuple[dict[str, dict[str, NDArray[np.uint64]]], dict[str, int]]:
    """Hashes each split's clips; counts frames, those without a hash, and clips without frames."""
    counts: Counter[str] = Counter({"hashed": 0, "flat": 0, "clips_without_frames": 0})
    of_clip: dict[str, NDArray[np.uint64]] = {}
    wanted = sorted({sample.clip for samples in splits.values() for sample in samples})
    for clip in progress(wanted, what="hash frames", unit="clip"):
        if clip in cache.rejected:
            counts["clips_without_frames"] += 1
            continue
        if clip not in cache:
            raise InputError(f"clip {clip} is in none of the frame caches", fix="give those of all shards")
        made = hashes(cache.frames(clip))
        counts.update(hashed=int((~made.flat).sum()), flat=int(made.flat.sum()))
        of_clip[clip] = made.bits[~made.flat]
    found = {
        name: {sample.clip: of_clip[sample.clip] for sample in samples if sample.clip in of_clip}
        for name, samples in splits.items()
    }
    return found, dict(counts)


if __name__ == "__main__":
    run(main, parser())
