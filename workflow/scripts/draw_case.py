"""Draws one case of cataract surgery in Cataract-1K's file formats.

A cartoon with its annotation: phase CSV, video CSV, COCO file with a scene
each 5 s, and the video. Everything is a function of case id, seed, size and
frame rate; equal arguments give equal bytes.

With --like the outlines of real annotations are drawn at their times instead.
The annotation files are then optional: those that are asked for are the
publisher's own, copied. Of a case that has no phases, or no objects, it is a
phase CSV without rows, or a COCO file without images.
"""

from __future__ import annotations

from argparse import Namespace
from pathlib import Path

from suture.cli import Parser, run
from suture.errors import InputError

_SMALLEST = 32
_MOST_FPS = 60


def parser() -> Parser:
    """Returns the command's parser."""
    result = Parser(__doc__)
    result.add_argument("--case", required=True, metavar="case_9001", help="id of the case to draw")
    result.add_argument("--seed", type=int, default=7, help="another seed, another surgery of the same name")
    result.add_argument("--size", type=int, nargs=2, default=(112, 112), metavar=("W", "H"), help="pixels, even")
    result.add_argument("--fps", type=int, default=10, help="frames a second, a whole number")
    result.add_argument("--like", type=Path, metavar="DIR", help="real annotations to draw, in any layout")
    result.add_argument("--phases", type=Path, metavar="CSV", help="phase file to write; optional with --like")
    result.add_argument("--video-info", type=Path, metavar="CSV", help="the video's CSV to write; optional with --like")
    result.add_argument("--objects", type=Path, metavar="JSON", help="COCO file to write; optional with --like")
    result.add_argument("--video", type=Path, required=True, metavar="MP4", help="video to write")
    return result


def main(args: Namespace) -> None:
    """Draws the case. Raises InputError where it cannot."""
    width, height = args.size
    if min(width, height) < _SMALLEST or width % 2 or height % 2:
        raise InputError(f"cannot draw {width} x {height} pixels", where="--size", fix="two even numbers from 32 on")
    if not 1 <= args.fps <= _MOST_FPS:
        raise InputError(f"cannot draw {args.fps} frames a second", where="--fps", fix=f"1 to {_MOST_FPS}")
    missing = [
        f"--{name}" for name in ("phases", "video-info", "objects") if getattr(args, name.replace("-", "_")) is None
    ]
    if missing and not args.like:
        raise InputError(
            f"no {' and no '.join(missing)}", fix="a drawn case needs its annotation: name these files too"
        )
    # Imported here, not above: --help and the checks need none of it.
    from suture.drawing import film, like, plan, publish, video
    from suture.progress import progress

    pictures: film.Film | like.Film
    if args.like:
        annotated = like.read(args.like, args.case)
        pictures = like.Film(annotated, args.seed, (width, height), args.fps)
        like.copy_annotations(annotated, phases=args.phases, video_info=args.video_info, objects=args.objects)
    else:
        publish.number_of(args.case)
        drawn = plan.draw_plan(args.case, args.seed)
        pictures = film.Film(drawn, args.seed, (width, height), args.fps)
        publish.write_phases(args.phases, drawn, args.fps)
        publish.write_video_info(args.video_info, args.case, args.fps)
        publish.write_objects(args.objects, pictures)
    frames = progress(pictures, what=f"drawing {args.case}", total=pictures.frames, unit="frame")
    video.encode(args.video, frames, (width, height), args.fps)


if __name__ == "__main__":
    run(main, parser())
