"""Prints the frames that a classifier is shown of a video, or writes those of a whole dataset: no training is needed.

Run as:
    python workflow/scripts/sample_frames.py --total 300 --frames 8 --method random_window --seed 42 --round 1
    python workflow/scripts/sample_frames.py --root data/downstream/PolypDiag --frames 8 --method random \\
        --epoch 2 --aug-step-size 16 --output sampling_indices_polypdiag_random_train_augstep16.csv

The first prints a JSON list of frame numbers. They are the ones that train.py
decodes in that epoch and round for the clip whose id is --key, with the run's
seed. The second writes them as training does, a line for each video and round
of the epoch: path, total_frames, method, indices, round, label, epoch, clip.
--root is read by the adapter video_folder; a folder of videos without lists or
classes is read as it lies, the file's name being the key.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Iterator
from pathlib import Path

from suture import frame_draws, free_media, registry
from suture.cli import Parser, run
from suture.errors import InputError
from suture.frame_draws import Draws
from suture.progress import progress, say
from suture.windows import plan_case


def parser() -> Parser:
    """Returns the command line's parser."""
    p = Parser(__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    what = p.add_mutually_exclusive_group(required=True)
    what.add_argument("--total", type=int, metavar="N", help="frames of the video")
    what.add_argument("--root", type=Path, metavar="DIR", help="dataset, or folder of videos")
    p.add_argument("--frames", type=int, required=True, metavar="F", help="frames to pick")
    p.add_argument("--method", choices=frame_draws.METHODS, required=True, help="how they are picked")
    p.add_argument("--seed", type=int, default=42, metavar="S", help="seed of the run (42)")
    p.add_argument("--epoch", type=int, default=0, metavar="E", help="epoch; scoring is as epoch 0 (0)")
    p.add_argument("--round", type=int, metavar="R", help="round of augmentation, with --total (0)")
    p.add_argument("--key", metavar="VIDEO", help="the clip's id, with --total (none)")
    p.add_argument("--videos", type=Path, metavar="DIR", help="media of --root (its videos/, else --root itself)")
    p.add_argument("--adapter", default="video_folder", metavar="NAME", help="reads --root (video_folder)")
    p.add_argument("--aug-step-size", type=int, metavar="K", help="also the rounds of augmentation, with --root")
    p.add_argument("--max-aug-rounds", type=int, metavar="M", help="highest of them (by method)")
    p.add_argument("--output", type=Path, metavar="FILE", help="CSV to write; required with --root")
    return p


def main(args: argparse.Namespace) -> None:
    """Prints or writes."""
    _check(args)
    draws = Draws(method=args.method, count=args.frames, seed=args.seed)
    if args.total is not None:
        print(json.dumps(draws.indices(args.total, args.key or "", epoch=args.epoch, round_=args.round or 0)))
        return
    from suture.sampled_frames import Drawn, write
    from suture.video.index import read_index
    from suture.video.reading import MediaError

    rows, left_out = [], 0
    for path, media, key, label in progress(list(_videos(args)), what="sample frames", unit="video"):
        try:
            total = len(read_index(path).display)
        except MediaError as error:
            left_out += 1
            say(f"{error} is left out")
            continue
        for round_ in frame_draws.rounds(args.method, total, args.frames, args.aug_step_size, args.max_aug_rounds):
            rows.append(
                Drawn(
                    path=media,
                    total_frames=total,
                    method=args.method,
                    indices=tuple(draws.indices(total, key, epoch=args.epoch, round_=round_)),
                    round=round_,
                    label=label,
                    epoch=args.epoch,
                    clip=key,
                )
            )
    if not rows:
        raise InputError("no video could be read", where=args.root)
    write(args.output, rows)
    print(f"{len(rows)} lines, {left_out} videos left out")


def _check(args: argparse.Namespace) -> None:
    for name in ("total", "frames", "aug_step_size", "max_aug_rounds"):
        value = getattr(args, name)
        if value is not None and value < 1:
            raise InputError(f"--{name.replace('_', '-')} must be above 0, not {value}")
    if min(args.epoch, args.round or 0) < 0:
        raise InputError("--epoch and --round must be 0 or more")
    only = ("round", "key") if args.root else ("videos", "aug_step_size", "max_aug_rounds", "output")
    if idle := [name for name in only if getattr(args, name) is not None]:
        given = "--root" if args.root else "--total"
        raise InputError(f"with {given}, --{idle[0].replace('_', '-')} would do nothing", fix="leave it out")
    if args.root and args.output is None:
        raise InputError("where should the lines go?", fix="give --output FILE")


def _videos(args: argparse.Namespace) -> Iterator[tuple[Path, str, str, str]]:
    """Yields (file, its path as listed, key, label) of each video of a dataset, or of a folder."""
    adapter = registry.dataset(args.adapter)
    try:
        cases = adapter.case_ids(args.root)
    except InputError:
        found, _ = free_media.find(args.root)
        yield from ((path, name, path.name, "") for name, path in found.items())
        return
    inner = args.root / "videos"
    videos = args.videos or (inner if inner.is_dir() else args.root)
    for case in cases:
        read = adapter.read_case(args.root, case)
        label_of = {(one.media, one.start_s): one.label for one in read.segments}
        for clip in plan_case(read, mode="exact")[0]:
            yield videos / clip.media, clip.media, clip.id, label_of[clip.media, clip.start_s]


if __name__ == "__main__":
    run(main, parser())
