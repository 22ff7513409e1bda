"""Decodes each clip once: its frames, at the model's size, into one memory-mappable array a shard.

Run as:
    python workflow/scripts/cache_frames.py --clips shard-0.jsonl --clips-dir clips \\
        --frames 8 --size 56 56 --output cache/shard-0.jsonl --array cache/shard-0.npy

The array is uint8 [frames, height, width, RGB]. The manifest has one line a
clip: its rows, the exact numbers of its frames in the clip file, and the
digests of file and pixels. A clip that cannot be read is a counted rejection.
An image gives its one frame with --fps, and N times the same frame with --frames N.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import av

from suture import files, records
from suture.cli import Parser, run, share
from suture.errors import InputError
from suture.frame_sampling import at_rate, evenly
from suture.frames import write_shard
from suture.records import Clip, Sample
from suture.video.reading import Frames, MediaError, read_frames


def parser() -> Parser:
    p = Parser(__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument("--clips", type=Path, required=True, metavar="FILE", help="manifest of the clips of one shard")
    p.add_argument("--clips-dir", type=Path, required=True, metavar="DIR", help="folder that the clips' paths start at")
    p.add_argument(
        "--samples", type=Path, nargs="+", metavar="FILE", help="cache only clips that these samples ask about"
    )
    sampling = p.add_mutually_exclusive_group(required=True)
    sampling.add_argument("--frames", type=int, metavar="N", help="frames a clip, evenly spaced")
    sampling.add_argument("--fps", type=float, metavar="F", help="frames a second of clip (published: 2)")
    p.add_argument("--size", type=int, nargs=2, required=True, metavar=("H", "W"), help="size in pixels")
    p.add_argument("--output", type=Path, required=True, metavar="FILE", help="manifest to write")
    p.add_argument("--array", type=Path, required=True, metavar="FILE", help="array to write, .npy")
    p.add_argument("--rejected", type=Path, metavar="FILE", help="write the clips left out, with reasons")
    p.add_argument(
        "--max-rejected", type=share, default=0.1, metavar="SHARE", help="largest share of unusable clips (0.1)"
    )
    return p


def main(args: argparse.Namespace) -> None:
    if min(args.size) < 1 or (args.frames or args.fps) <= 0:
        raise InputError("--frames, --fps and --size must be above 0")
    clips: list[Clip] = records.read(args.clips, Clip)
    records.check_unique([clip.id for clip in clips], what="clip", where=args.clips)
    if args.samples:
        asked = {sample.clip for path in args.samples for sample in records.read(path, Sample)}
        clips = [clip for clip in clips if clip.id in asked]

    def read(clip: Clip) -> tuple[Frames, list[int]]:
        path = files.inside(args.clips_dir, clip.path)
        if clip.n_frames < 1:
            raise MediaError("the clip has no frames", reason="no_frames", where=path)
        indices = [clip.first_frame + number for number in _wanted(clip, path, args.frames, args.fps)]
        frames = read_frames(path, indices)
        if files.sha256_file(path) != clip.sha256:
            raise MediaError("the clip is not the file that was cut", reason="clip_changed", where=path)
        return frames, indices

    rejections = write_shard(
        clips,
        read=read,
        size=(args.size[0], args.size[1]),
        decoder=("pyav", f"{av.__version__}, ffmpeg {av.ffmpeg_version_info}"),
        manifest=args.output,
        array=args.array,
        max_rejected=args.max_rejected,
    )
    if args.rejected:
        records.write(args.rejected, rejections)
    print(f"{len(clips) - len(rejections)} clips cached, {len(rejections)} left out")


def _wanted(clip: Clip, path: Path, count: int | None, rate: float | None) -> list[int]:
    """Returns the frames to cache: ``count`` of them, or ``rate`` a second; an image has one frame and no rate."""
    if count is not None:
        return evenly(clip.n_frames, count)
    if clip.method == "image":
        return [0]
    if clip.fps <= 0 or rate is None:
        raise MediaError(f"its manifest says {clip.fps:g} frames a second", reason="no_frame_rate", where=path)
    return at_rate(clip.n_frames, clip.fps, rate)


if __name__ == "__main__":
    run(main, parser())
