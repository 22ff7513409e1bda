"""Samples a second into the training step: decoding at each step, as published, against the caches.

Published (umurkarakas/surgery-sft, train.py): at each step each clip is opened
with decord, frames are picked two a second by ``int(avg_fps / 2) * i``, and
the library's processor makes tokens and pixels of conversation and frames.
LLaMA-Factory decodes every frame of the file in order with PyAV and keeps
those. Ours: frames from the memory-mapped cache, patches by our own code; and
what the vision tower made of them, from its cache. All make batches of one
from the same clips, conversation and tokenizer, on one thread.

Nothing is timed before the tokens are equal and the pixels within 2.4e-7
of each other. The published videos were 224x224 copies; frames of larger files
are made so at each step by our own resize in every way. The first fill of
each cache is a row of its own: seconds a clip, paid once.

Prints a Markdown table; --output also keeps it as JSON.
"""

from __future__ import annotations

import argparse
import os
import platform
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, cast

sys.path.insert(0, str(Path(__file__).parents[1] / "workflow" / "scripts"))

import av
import numpy as np
from cut import SIZES, draw

from suture import files, libraries
from suture.cli import Parser, run
from suture.decoding import Wanted, decode_each
from suture.frame_sampling import at_rate
from suture.frames import FrameCache, resize
from suture.frames import write_shard as write_frames
from suture.records import Clip, Turn

SIDE = 224
SECONDS = 5
FPS = 30
TURNS = [
    Turn(question="Which surgical phase is shown?", answer="The phase is lens implantation.", kind="phase"),
    Turn(question="Which anatomical structures are visible?", answer="The cornea and the pupil.", kind="anatomy"),
    Turn(question="Which instruments are visible?", answer="A lens injector and a spatula.", kind="instruments"),
]


def parser() -> Parser:
    """Returns the command line's parser."""
    p = Parser(__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument("--clips", type=int, default=8, help="clips of five seconds of each size (8)")
    p.add_argument("--sizes", nargs="+", choices=sorted(SIZES), default=list(SIZES), help="sizes of the files")
    p.add_argument("--least", type=float, default=5.0, help="seconds that each way is timed for, at least (5)")
    p.add_argument("--output", type=Path, help="also write the results here, as JSON")
    return p


def main(args: argparse.Namespace) -> None:
    """Runs the benchmark on each size."""
    libraries.prepare(threads=1)
    rows: list[dict[str, Any]] = []
    with tempfile.TemporaryDirectory(prefix="suture-frames-") as name:
        for size in args.sizes:
            rows += measure(Path(name) / size, size, args.clips, args.least)
    print(table(rows))
    if args.output:
        machine = {
            "cores": len(os.sched_getaffinity(0)),
            "processor": platform.processor() or platform.machine(),
            "load_before": round(os.getloadavg()[2], 2),
        }
        files.write_json(args.output, {"machine": machine, "rows": rows})


def measure(folder: Path, size: str, n_clips: int, least: float) -> list[dict[str, Any]]:
    """Checks that all ways make the same batches of some files, then times them."""
    import decord
    import torch

    from suture.features import FeatureCache, maker_of
    from suture.features import write_shard as write_features
    from suture.frames import CachedClip
    from suture.models import qwen2_5_vl
    from suture.models.base import Video
    from suture.records import read
    from suture.training.data import video_of

    clips = [clip_of(draw(folder / f"{n}" / "clip.mp4", *SIZES[size], SECONDS), folder, n) for n in range(n_clips)]
    base = folder / "base"
    qwen2_5_vl.build_small(base)
    model = qwen2_5_vl.load(base)
    text = chat_text(model)
    not_resized = {"do_resize": False, "do_sample_frames": False}

    def batch_of(frames: np.ndarray) -> dict[str, torch.Tensor]:
        shown = torch.from_numpy(resize(frames, SIDE, SIDE)).permute(0, 3, 1, 2)
        made = model.processor(text=[text], videos=[shown], videos_kwargs=not_resized, return_tensors="pt")
        return dict(made)

    def published(clip: Clip) -> dict[str, torch.Tensor]:
        reader = decord.VideoReader(str(folder / clip.path), ctx=decord.cpu(0), num_threads=1)
        rate, count = reader.get_avg_fps(), len(reader)
        indices = [int(rate / 2) * i for i in range(2 * count // int(rate))]
        return batch_of(reader.get_batch(indices).asnumpy())

    def in_order(clip: Clip) -> dict[str, torch.Tensor]:
        wanted = set(at_rate(clip.n_frames, clip.fps, 2))
        with av.open(str(folder / clip.path)) as container:
            frames = enumerate(container.decode(video=0))
            return batch_of(np.stack([f.to_ndarray(format="rgb24") for n, f in frames if n in wanted]))

    began = time.perf_counter()
    write_frames(
        clips,
        decode=lambda some: decode_each([wanted_of(c, folder) for c in some], decoder="auto", workers=2, seconds=60),
        size=(SIDE, SIDE),
        manifest=folder / "frames.jsonl",
        array=folder / "frames.npy",
        max_rejected=0,
    )
    fill_frames = (time.perf_counter() - began) / n_clips
    cache = FrameCache([folder / "frames.jsonl"])
    began = time.perf_counter()
    lines: list[CachedClip] = read(folder / "frames.jsonl", CachedClip)
    write_features(
        lines,
        compute=lambda clip: model.features([cast(Video, video_of(cache, clip.clip))])[0],
        maker=maker_of(model, base, "fp32"),
        manifest=folder / "features.jsonl",
        array=folder / "features.npy",
    )
    fill_features = (time.perf_counter() - began) / n_clips
    features = FeatureCache([folder / "features.jsonl"])

    ways: dict[str, Callable[[Clip], Any]] = {
        "published: decord and the library's processor at each step": published,
        "LLaMA-Factory's: every frame decoded by PyAV, the processor": in_order,
        "ours: frame cache": lambda clip: model.collate([model.encode(TURNS, video_of(cache, clip.id))]),
        "ours: feature cache": lambda clip: model.collate([model.encode(TURNS, video_of(features, clip.id))]),
    }
    check([way(clips[-1]) for way in ways.values()])
    took = {name: timed(way, clips, least) for name, way in ways.items()}
    first = next(iter(took.values()))
    rows = [
        {"file": f"{size}, {SECONDS} s", "way": name, "samples_a_second": round(1 / s, 1), "ratio": round(first / s, 1)}
        for name, s in took.items()
    ]
    fills = {"first fill of the frame cache": fill_frames, "first fill of the feature cache": fill_features}
    return rows + [
        {"file": f"{size}, {SECONDS} s", "way": f"{name}, once a clip, 2 cores", "seconds_a_clip": round(seconds, 3)}
        for name, seconds in fills.items()
    ]


def clip_of(path: Path, folder: Path, number: int) -> Clip:
    """Describes a drawn file as cut_videos would."""
    return Clip(
        id=f"clip_{number}",
        case=f"case_{number}",
        phase="phase",
        start_s=0.0,
        end_s=float(SECONDS),
        path=path.relative_to(folder).as_posix(),
        first_frame=0,
        n_frames=SECONDS * FPS,
        fps=float(FPS),
        width=0,
        height=0,
        method="copy",
        sha256=files.sha256_file(path),
        source=path.name,
        source_sha256="",
    )


def wanted_of(clip: Clip, folder: Path) -> Wanted:
    """Names the frames to cache."""
    indices = tuple(at_rate(clip.n_frames, clip.fps, 2))
    return Wanted(path=folder / clip.path, sha256=clip.sha256, indices=indices, size=(SIDE, SIDE))


def chat_text(model: Any) -> str:
    """Writes the conversation as the chat template does."""
    from suture.chat import messages

    chat = messages(TURNS, model.system_prompt, video=True, for_reply=False)
    return str(model.tokenizer.apply_chat_template(chat, tokenize=False))


def check(batches: list[Any]) -> None:
    """Compares the batches of all ways: tokens, and pixels where there are some.

    Raises:
        AssertionError: they are not of one clip.
    """
    import torch

    reference = batches[0]
    for batch in batches[1:]:
        assert torch.equal(batch["input_ids"], reference["input_ids"])
        if "pixel_values_videos" in batch:
            off = (batch["pixel_values_videos"] - reference["pixel_values_videos"]).abs().max()
            assert off <= 2.4e-7, f"pixels differ by {off}"


def timed(way: Callable[[Clip], Any], clips: list[Clip], least: float) -> float:
    """Returns the seconds of one sample, over whole rounds of all clips."""
    way(clips[0])
    samples, began = 0, time.perf_counter()
    while time.perf_counter() - began < least:
        for clip in clips:
            way(clip)
        samples += len(clips)
    return (time.perf_counter() - began) / samples


def table(rows: list[dict[str, Any]]) -> str:
    """Formats the rows as a Markdown table."""
    lines = ["| file | way | samples a second | this / published |", "|---|---|---|---|"]
    for r in rows:
        told = f"{r['samples_a_second']:,.1f} | {r['ratio']:,.1f}" if "ratio" in r else f"{r['seconds_a_clip']:.2f} s |"
        lines.append(f"| {r['file']} | {r['way']} | {told} |")
    return "\n".join(lines)


if __name__ == "__main__":
    run(main, parser())
