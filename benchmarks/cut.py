"""The published way of cutting against ours, on the same file and the same cores.

Published: ffmpeg-python, ``input(video, ss=, t=).output(name)`` with default
settings for each clip, which re-encodes it (umurkarakas/surgery-sft,
data_utils/cut_videos.py). Ours: index once, copy packets. Nothing is reported
before the outputs are checked: the same clips; ours equal to the source's frames
to the bit; the published ones as long as they should be, to one frame.

Prints a Markdown table; --output also keeps it as JSON.
"""

from __future__ import annotations

import argparse
import os
import platform
import shutil
import sys
import tempfile
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parents[1] / "workflow" / "scripts"))

import av
import ffmpeg
import numpy as np

from suture import files
from suture.cli import Parser, run
from suture.cutting import cut_case
from suture.progress import progress
from suture.records import Clip
from suture.video.index import read_index
from suture.video.reading import decode
from suture.video.reencode import ffmpeg_exe
from suture.windows import PlannedClip, exact_windows

CASE = "case_9001"
WAYS = {
    "ours, index and copies": "none",
    "ours, one clip decoded and compared (auto)": "auto",
    "ours, every clip decoded and compared (full)": "full",
}
SIZES = {"1024x768": (1024, 768), "224x224": (224, 224)}


def parser() -> Parser:
    """Returns the command line's parser."""
    p = Parser(__doc__)
    p.add_argument("--seconds", type=int, default=120, help="length of each generated file")
    p.add_argument("--sizes", nargs="+", choices=sorted(SIZES), default=list(SIZES), help="sizes of the files")
    p.add_argument("--quick", action="store_true", help="20 s of each")
    p.add_argument("--output", type=Path, help="also write the results here, as JSON")
    return p


def main(args: argparse.Namespace) -> None:
    """Runs the benchmark on each size."""
    seconds = 20 if args.quick else args.seconds
    rows: list[dict[str, Any]] = []
    with tempfile.TemporaryDirectory(prefix="suture-cut-") as name:
        for size in args.sizes:
            rows += measure(Path(name) / size, size, seconds)
    print(table(rows))
    if args.output:
        machine = {"cores": len(os.sched_getaffinity(0)), "processor": platform.processor() or platform.machine()}
        files.write_json(args.output, {"machine": machine, "seconds_of_video": seconds, "rows": rows})


def measure(folder: Path, size: str, seconds: int) -> list[dict[str, Any]]:
    """Checks what both ways write of one generated file, then times them; nothing is timed of wrong output."""
    source = draw(folder / f"{CASE}.mp4", *SIZES[size], seconds)
    plans = [
        PlannedClip(id=f"{CASE}_{a:.2f}_{b:.2f}", phase="phase", start_s=a, end_s=b, media=source.name, row=2)
        for a, b in exact_windows(1.3, seconds - 0.4)
    ]
    published(source, plans, folder / "published")
    check(source, plans, cut(source, plans, folder / "ours", "none"), folder)
    took = {"published": timed(source, partial(published, source, plans, folder / "published"))}
    for way, how in WAYS.items():
        took[way] = timed(source, partial(cut, source, plans, folder / "ours", how))
    return [
        {
            "file": f"{size}, {seconds} s, {source.stat().st_size * 8 / seconds / 1e6:.1f} Mb/s",
            "way": way,
            "clips": len(plans),
            "seconds": round(value, 3),
            "seconds_per_minute": round(value * 60 / seconds, 3),
            "ratio": round(took["published"] / value, 1),
        }
        for way, value in took.items()
    ]


def draw(path: Path, width: int, height: int, seconds: int) -> Path:
    """Draws a video like a surgical one: a textured ground that drifts, an instrument that moves, sensor noise."""
    path.parent.mkdir(parents=True)
    rng = np.random.default_rng(0)
    coarse = rng.integers(60, 180, (height // 16 + 8, width // 16 + 8), dtype=np.uint8)
    ground = coarse.repeat(16, 0).repeat(16, 1)
    noise = rng.normal(0, 3, (height * 2, width * 2)).astype(np.int8).view(np.uint8)
    image = np.full((height * 3 // 2, width), 128, dtype=np.uint8)
    with av.open(str(path), "w") as container:
        stream = container.add_stream("libx264", rate=30, options={"preset": "ultrafast", "crf": "20"})
        stream.width, stream.height, stream.pix_fmt = width, height, "yuv420p"
        stream.codec_context.gop_size = 90
        for n in progress(range(seconds * 30), what=f"drawing {width}x{height}", unit="frame"):
            dx, dy = round(40 + 30 * np.sin(n / 50)), round(40 + 30 * np.cos(n / 70))
            left, top = rng.integers(0, width), rng.integers(0, height)
            grain = noise[top : top + height, left : left + width]
            np.add(ground[dy : dy + height, dx : dx + width], grain, out=image[:height])
            x = round((width - 40) * (0.5 + 0.45 * np.sin(n / 20)))
            image[height // 3 : height, x : x + width // 40] = 230
            container.mux(stream.encode(av.VideoFrame.from_ndarray(image, format="yuv420p")))
        container.mux(stream.encode())
    return path


def fresh(folder: Path) -> Path:
    """Empties a folder."""
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir()
    return folder


def cut(source: Path, plans: list[PlannedClip], folder: Path, how: str) -> list[Clip]:
    """Cuts our way: index, copies, digests, the check that ``how`` names."""
    clips, rejected = cut_case(CASE, plans, {source.name: source}, source.parent, fresh(folder), check=how, bar=False)
    assert not rejected, rejected
    return clips


def published(source: Path, plans: list[PlannedClip], folder: Path) -> None:
    """Cuts as the published script does."""
    fresh(folder)
    for plan in plans:
        assert plan.end_s is not None
        command = ffmpeg.input(str(source), ss=plan.start_s, t=plan.end_s - plan.start_s).output(
            str(folder / f"{plan.id}.mp4")
        )
        command.run(cmd=ffmpeg_exe(), overwrite_output=True, quiet=True)


def check(source: Path, plans: list[PlannedClip], clips: list[Clip], folder: Path) -> None:
    """Compares what both ways wrote with the source.

    Ours frame by frame, to the bit, decoded here and not by the code that is
    measured; the published clips by their number of frames, to one frame.
    """
    index = read_index(source)
    made = {clip.id: clip for clip in clips}
    assert sorted(made) == sorted(plan.id for plan in plans) == sorted(p.stem for p in folder.glob("published/*.mp4"))
    frames = enumerate(decode(source))
    number, frame = next(frames)
    for plan in progress(plans, what="checking", unit="clip"):
        clip = made[plan.id]
        wanted = index.frames_between(plan.start_s, plan.end_s)
        assert clip.n_frames == len(wanted)
        with av.open(str(folder / "ours" / Path(clip.path).name)) as container:
            for n, got in enumerate(container.decode(video=0)):
                if clip.first_frame <= n < clip.first_frame + clip.n_frames:
                    while number < wanted.start + n - clip.first_frame:
                        number, frame = next(frames)
                    assert np.array_equal(frame.to_ndarray(), got.to_ndarray()), f"{clip.id}: frame {n} differs"
        with av.open(str(folder / "published" / f"{plan.id}.mp4")) as container:
            count = container.streams.video[0].frames
        assert abs(count - len(wanted)) <= 1, f"{plan.id}: published {count} frames, {len(wanted)} lie in its time"


def timed(source: Path, work: Callable[[], object]) -> float:
    """Returns the wall-clock seconds of one call that starts without the source in the page cache."""
    with source.open("rb") as handle:
        os.fsync(handle.fileno())
        os.posix_fadvise(handle.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)
    start = time.perf_counter()
    work()
    return time.perf_counter() - start


def table(rows: list[dict[str, Any]]) -> str:
    """Formats the rows as a Markdown table."""
    lines = ["| file | way | clips | s | s a minute of video | published / this |", "|---|---|---|---|---|---|"]
    lines += [
        f"| {r['file']} | {r['way']} | {r['clips']} | {r['seconds']:.2f} | {r['seconds_per_minute']:.2f} "
        f"| {r['ratio']:.1f} |"
        for r in rows
    ]
    return "\n".join(lines)


if __name__ == "__main__":
    run(main, parser())
