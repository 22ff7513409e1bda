"""The published way of cutting against ours, on the same file and the same cores.

Published: ffmpeg-python, ``input(video, ss=, t=).output(name)`` with default
settings for each clip, which re-encodes it (umurkarakas/surgery-sft,
data_utils/cut_videos.py). Ours: index once, copy packets. Before anything is
timed, the outputs of both are checked: the same clips; ours equal to the source's
frames to the bit; the published ones as long as theirs should be, to one frame.

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
SIZES = {"1024x768": (1024, 768, 6_000_000), "224x224": (224, 224, 400_000)}


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
    """Checks, then times, both ways on one generated file."""
    width, height, bits = SIZES[size]
    source = draw(folder / f"{CASE}.mp4", width, height, seconds, bits)
    plans = [
        PlannedClip(id=f"{CASE}_{a:.2f}_{b:.2f}", phase="phase", start_s=a, end_s=b, media=source.name, row=2)
        for a, b in exact_windows(1.3, seconds - 0.4)
    ]
    check(source, plans, folder)

    def ours(how: str) -> Callable[[], object]:
        return lambda: cut(source, plans, fresh(folder / "ours"), how)

    took = {
        "published": timed(lambda: published(source, plans, fresh(folder / "published"))),
        "ours": timed(ours("auto")),
        "ours, every clip decoded and compared": timed(ours("full")),
    }
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


def draw(path: Path, width: int, height: int, seconds: int, bits: int) -> Path:
    """Draws a video like a surgical one: a textured ground that drifts, an instrument that moves, sensor noise."""
    path.parent.mkdir(parents=True)
    rng = np.random.default_rng(0)
    coarse = rng.integers(40, 200, (height // 16 + 2, width // 16 + 8, 3), dtype=np.uint8)
    ground = coarse.repeat(16, 0).repeat(16, 1)
    noise = [rng.integers(0, 10, (height, width, 3), dtype=np.uint8) for _ in range(8)]
    settings = {"preset": "veryfast", "crf": "23", "maxrate": str(bits), "bufsize": str(2 * bits)}
    with av.open(str(path), "w") as container:
        stream = container.add_stream("libx264", rate=30, options=settings)
        stream.width, stream.height, stream.pix_fmt = width, height, "yuv420p"
        for n in progress(range(seconds * 30), what=f"drawing {width}x{height}", unit="frame"):
            dx, dy = round(40 + 30 * np.sin(n / 50)), round(8 + 7 * np.cos(n / 70))
            image = ground[dy : dy + height, dx : dx + width] + noise[n % 8]
            x = round((width - 40) * (0.5 + 0.45 * np.sin(n / 20)))
            image[height // 3 :, x : x + width // 40] = 230
            container.mux(stream.encode(av.VideoFrame.from_ndarray(image, format="rgb24")))
        container.mux(stream.encode())
    return path


def fresh(folder: Path) -> Path:
    """Empties a folder."""
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir()
    return folder


def cut(source: Path, plans: list[PlannedClip], folder: Path, how: str) -> list[Clip]:
    """Cuts our way: index, copies, digests, the check that ``how`` names."""
    clips, rejected = cut_case(CASE, plans, {source.name: source}, source.parent, folder, check=how, bar=False)
    assert not rejected, rejected
    return clips


def published(source: Path, plans: list[PlannedClip], folder: Path) -> None:
    """Cuts as the published script does."""
    for plan in plans:
        assert plan.end_s is not None
        command = ffmpeg.input(str(source), ss=plan.start_s, t=plan.end_s - plan.start_s).output(
            str(folder / f"{plan.id}.mp4")
        )
        command.run(cmd=ffmpeg_exe(), overwrite_output=True, quiet=True)


def check(source: Path, plans: list[PlannedClip], folder: Path) -> None:
    """Refuses to time anything if the two ways do not give what they should.

    Ours is compared by a decoder of its own here, frame by frame, not by the
    code that is measured.
    """
    index = read_index(source)
    clips = {clip.id: clip for clip in cut(source, plans, fresh(folder / "ours"), "none")}
    published(source, plans, fresh(folder / "published"))
    assert sorted(clips) == sorted(plan.id for plan in plans) == sorted(p.stem for p in folder.glob("published/*.mp4"))
    frames = enumerate(decode(source))
    number, frame = next(frames)
    for plan in progress(plans, what="checking", unit="clip"):
        clip = clips[plan.id]
        wanted = index.frames_between(plan.start_s, plan.end_s)
        with av.open(str(folder / "ours" / Path(clip.path).name)) as container:
            for n, got in enumerate(container.decode(video=0)):
                if clip.first_frame <= n < clip.first_frame + clip.n_frames:
                    while number < wanted.start + n - clip.first_frame:
                        number, frame = next(frames)
                    assert np.array_equal(frame.to_ndarray(), got.to_ndarray()), f"{clip.id}: frame {n} differs"
        assert clip.n_frames == len(wanted)
        with av.open(str(folder / "published" / f"{plan.id}.mp4")) as container:
            count = container.streams.video[0].frames
        assert abs(count - len(wanted)) <= 1, f"{plan.id}: published {count} frames, {len(wanted)} lie in its time"


def timed(work: Callable[[], object]) -> float:
    """Returns the wall-clock seconds of one call; the source is in the page cache for both ways."""
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
