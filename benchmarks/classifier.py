"""Clips a second into a classifier's training step: the published way against ours.

Published (Endo-FM's datasets/ucf101.py and PySlowFast's decoder): at each step
each video is opened with PyAV, all frames of a stretch of 32 x 8 / 30 s are
decoded, 8 of them kept at equal distances, made float, normalised, scaled to a
short side of 256 to 320 and cropped. Which frames the sampler had drawn plays
no part in it. A second row decodes to the frames that were drawn, as it was
meant to. Ours: the drawn rows of a memory-mapped cache of all frames, as
bytes; the device normalises. One thread, batches of 2 videos of 224 x 224.

--step also times the step itself, forward and backward of ViT-B/16 (slow on a
CPU): how much of it the data are.

Nothing is timed before the pixels that were drawn are equal in both ways. The
first fill of the cache is a row of its own, paid once.

Prints a Markdown table; --output also keeps it as JSON.
"""

from __future__ import annotations

import argparse
import random
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parents[1] / "workflow" / "scripts"))

import av
import numpy as np

from suture import files, libraries, machine
from suture.cli import Parser, run
from suture.decoding import Wanted, decode_each
from suture.drawing import endoscopy
from suture.drawing.video import encode
from suture.errors import SutureError
from suture.frame_draws import Draws
from suture.frames import FrameCache, resize, write_shard
from suture.records import Clip
from suture.sampled_frames import SampledFrames
from suture.video.reading import read_frames

SIDE, COUNT, FPS, BATCH = 224, 8, 30, 2
STRETCH_S = 32 * COUNT / 30


def parser() -> Parser:
    """Returns the command line's parser."""
    p = Parser(__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument("--videos", type=int, default=4, help="videos (4)")
    p.add_argument("--repeats", type=int, default=8, help="times that each is drawn of 40 frames: 8 are 10 s (8)")
    p.add_argument("--least", type=float, default=5.0, help="seconds that each way is timed for, at least (5)")
    p.add_argument("--step", action="store_true", help="also time a training step of ViT-B/16")
    p.add_argument("--output", type=Path, help="JSON to write")
    return p


def main(args: argparse.Namespace) -> None:
    """Draws videos, checks that the ways agree, times them."""
    libraries.prepare(threads=1)
    import torch

    with tempfile.TemporaryDirectory() as place:
        folder = Path(place)
        clips = _videos(folder, args.videos, args.repeats)
        began = time.perf_counter()
        cache = _cache(folder, clips)
        fill = (time.perf_counter() - began) / len(clips)
        draws = Draws(method="random", count=COUNT)
        sampled = SampledFrames(cache, held_out=draws, train=draws)
        chance = random.Random(0)

        def published(number: int) -> Any:
            return _published(folder / clips[number % len(clips)].path, chance)

        def meant(number: int) -> Any:
            clip = clips[number % len(clips)]
            wanted = draws.indices(clip.n_frames, clip.id, epoch=number // len(clips))
            return _normalised(torch.from_numpy(read_frames(folder / clip.path, wanted)))

        def ours(number: int) -> Any:
            clip = clips[number % len(clips)]
            shown = sampled.training_video(clip.id, epoch=number // len(clips), round_=0)
            return torch.from_numpy(shown.frames)

        for number in range(len(clips)):
            apart = float((meant(number) - _normalised(ours(number))).abs().max())
            if apart > 1e-6:
                raise SutureError(f"the cache and the file differ by {apart:g} in video {number}")
        ways: dict[str, Callable[[int], Any]] = {
            "published: a stretch decoded at each step": published,
            "the drawn frames decoded at each step": meant,
            "ours: the drawn frames of the cache": ours,
        }
        rows = [{"way": name, "clips_per_second": _pace(way, args.least)} for name, way in ways.items()]
        rows.append({"way": "filling the cache, once", "clips_per_second": 1 / fill})
        if args.step:
            rows.append({"way": "the step itself, ViT-B/16", "clips_per_second": _step_pace(ours, args.least)})
    data = {"videos": args.videos, "frames": clips[0].n_frames, "size": SIDE, "batch": BATCH, "count": COUNT}
    print("| way | clips a second |\n|---|---|")
    for row in rows:
        print(f"| {row['way']} | {row['clips_per_second']:.3g} |")
    if args.output:
        where = {"processor": machine.cpu(), "gpus": machine.gpus(), "versions": machine.versions()}
        files.write_json(args.output, {"machine": where, "data": data, "rows": rows})


def _videos(folder: Path, count: int, repeats: int) -> list[Clip]:
    clips = []
    plan = endoscopy.plan(["bench.p01"], clips=count, seed=1)
    for number, drawn in enumerate(plan):
        pictures = resize(np.stack(list(endoscopy.frames(drawn, seed=1, size=112))), SIDE, SIDE)
        path = folder / f"{number}.mp4"
        encode(path, (picture for _ in range(repeats) for picture in pictures), (SIDE, SIDE), FPS)
        clips.append(
            Clip(
                id=f"v{number}", case=f"v{number}", phase="", start_s=0.0, end_s=0.0, path=path.name, first_frame=0,
                n_frames=repeats * len(pictures), fps=float(FPS), width=SIDE, height=SIDE, method="copy",
                sha256=files.sha256_file(path), source=path.name, source_sha256="",
            )
        )  # fmt: skip
    return clips


def _cache(folder: Path, clips: list[Clip]) -> FrameCache:
    def decode(ordered: Any) -> Any:
        wanted = [
            Wanted(path=folder / c.path, sha256=c.sha256, indices=tuple(range(c.n_frames)), size=(SIDE, SIDE))
            for c in ordered
        ]
        return decode_each(wanted, decoder="pyav", workers=1, seconds=600)

    manifest, array = folder / "all.jsonl", folder / "all.npy"
    write_shard(clips, decode=decode, size=(SIDE, SIDE), manifest=manifest, array=array, max_rejected=0)
    return FrameCache([manifest])


def _normalised(frames: Any) -> Any:
    """Bytes [T, H, W, 3] to what the published transform gives, float [3, T, H, W]."""
    return frames.float().div(255).sub(0.45).div(0.225).permute(3, 0, 1, 2)


def _published(path: Path, chance: random.Random) -> Any:
    """One training clip as PySlowFast decodes it: a random stretch, all of it decoded, 8 frames at equal distances."""
    import torch
    from torch.nn.functional import interpolate

    with av.open(str(path)) as container:
        stream = container.streams.video[0]
        assert stream.time_base is not None
        tick = float(stream.time_base)
        total, wanted = stream.frames, round(STRETCH_S * FPS)
        start = chance.uniform(0, max(total - wanted, 0))
        first, last = int(start), int(start + wanted - 1)
        container.seek(max(0, int(first / FPS / tick) - 1024), any_frame=False, backward=True, stream=stream)
        kept = []
        for frame in container.decode(stream):
            number = round((frame.pts or 0) * tick * FPS)
            if number > last:
                break
            if number >= first:
                kept.append(frame)
        pictures = torch.stack([torch.from_numpy(frame.to_rgb().to_ndarray()) for frame in kept])
    index = torch.linspace(0, len(pictures) - 1, COUNT).long()
    video = _normalised(pictures[index])
    short = chance.randint(256, 320)
    video = interpolate(video, size=(short, short), mode="bilinear", align_corners=False)
    x, y = chance.randint(0, short - SIDE), chance.randint(0, short - SIDE)
    return video[:, :, y : y + SIDE, x : x + SIDE].contiguous()


def _pace(way: Callable[[int], Any], least: float) -> float:
    """Returns clips a second, in batches."""
    import torch

    for number in range(BATCH):
        way(number)
    done, began = 0, time.perf_counter()
    while time.perf_counter() - began < least:
        torch.stack([way(done + k) for k in range(BATCH)])
        done += BATCH
    return done / (time.perf_counter() - began)


def _step_pace(way: Callable[[int], Any], least: float) -> float:
    import torch

    from suture.space_time import SpaceTimeClassifier, SpaceTimeConfig

    model = SpaceTimeClassifier(SpaceTimeConfig()).train()
    done, began = 0, time.perf_counter()
    while done == 0 or time.perf_counter() - began < least:
        logits = model(torch.stack([way(done + k) for k in range(BATCH)]))
        torch.autograd.backward(torch.nn.functional.cross_entropy(logits, torch.tensor([0, 1])))
        model.zero_grad()
        done += BATCH
    return done / (time.perf_counter() - began)


if __name__ == "__main__":
    run(main, parser())
