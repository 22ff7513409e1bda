"""Cuts the annotated videos of a dataset into clips.

Each clip is a stream copy from the key packet before its start; the manifest
says which of its frames are wanted, and those equal the source's to the bit.
What cannot be cut is reported and left out; the rest goes on.

The suffix of --output decides: .jsonl is the manifest of clips, .csv a table of
case, file, start and duration. With --plan-only no video is opened.
"""

from __future__ import annotations

import argparse
import csv
import io
from dataclasses import replace
from pathlib import Path

from suture import cases, files, records, registry
from suture.cli import Parser, run, share
from suture.cutting import CHECKS, clip_file, cut_case
from suture.errors import InputError
from suture.progress import progress
from suture.records import Clip, Rejection
from suture.sources import find_media
from suture.windows import PlannedClip, plan_case


def parser() -> Parser:
    """Returns the command line's parser."""
    p = Parser(__doc__)
    p.add_argument("--annotations", type=Path, required=True, help="root of the dataset's annotations")
    p.add_argument("--videos", type=Path, help="root of its media files; not needed with --plan-only")
    p.add_argument("--adapter", default="cataract1k", help="dataset adapter")
    p.add_argument("--cases", nargs="+", metavar="ID", help="only these cases")
    p.add_argument(
        "--mode",
        choices=("exact", "published"),
        default="exact",
        help="exact: clips of 2.5 to 7.5 s that cover each phase; published: the published script's windows",
    )
    p.add_argument("--plan-only", action="store_true", help="list the clips without cutting them")
    p.add_argument(
        "--idle",
        action=argparse.BooleanOptionalAction,
        default=False,
        help="also cut what lies before and between the phases",
    )
    p.add_argument(
        "--check",
        choices=CHECKS,
        default="auto",
        help="compare clips with their source: auto: where the codec's standard does not vouch for them; full: all",
    )
    p.add_argument("--output", type=Path, required=True, help="clips.jsonl or clips.csv")
    p.add_argument("--clips-dir", type=Path, help="folder for the clips; each case gets a folder in it")
    p.add_argument("--within", metavar="NAME", help="put the cases' folders into this folder of --clips-dir")
    p.add_argument("--rejected", type=Path, help="write what was left out here, as JSON Lines")
    p.add_argument("--max-rejected", type=share, default=1.0, help="largest share of planned clips that may be lost")
    return p


def main(args: argparse.Namespace) -> None:
    """Plans and cuts the chosen cases, then writes the manifests."""
    _check_arguments(args)
    adapter = registry.dataset(args.adapter)
    chosen = cases.chosen(adapter, args.annotations, args.cases)
    planned: list[tuple[str, PlannedClip]] = []
    clips: list[Clip] = []
    rejected: list[Rejection] = []
    lost = unplanned = 0
    for case in progress(chosen, what="cases", unit="case") if len(chosen) > 1 else chosen:
        annotated = cases.read_case(adapter, args.annotations, case, command="cut_videos")
        unplanned += cases.is_unreadable(annotated)
        plan, left_out = plan_case(annotated, mode=args.mode, idle=args.idle)
        planned += [(case, clip) for clip in plan]
        rejected += left_out
        if not args.plan_only:
            names = (name for clip in plan for name in clip.files)
            media = find_media(adapter, args.annotations, args.videos, case, names)
            # A case without a clip gets its folder too: who asked for the case finds that there is nothing.
            with files.atomic_dir(files.inside(args.clips_dir, f"{args.within or '.'}/{case}")) as folder:
                made, failed = cut_case(case, plan, media, args.videos, folder, check=args.check, bar=len(chosen) == 1)
            clips += [replace(one, path=f"{args.within}/{one.path}") for one in made] if args.within else made
            rejected += failed
            lost += len(failed)
    if args.rejected:
        rejected.sort(key=lambda one: (one.stage, one.reason, one.case, one.where, one.detail))
        records.write(args.rejected, rejected)
    _check_share(lost + unplanned, len(planned) + unplanned, args.max_rejected)
    if args.output.suffix == ".jsonl":
        clips.sort(key=lambda clip: clip.id)
        records.check_unique([clip.id for clip in clips], what="clip", where=args.annotations)
        records.write(args.output, clips)
    else:
        kept = {clip.id for clip in clips}
        files.write_text(args.output, _table([p for p in planned if args.plan_only or p[1].id in kept]))


def _check_arguments(args: argparse.Namespace) -> None:
    if args.output.suffix not in (".csv", ".jsonl"):
        raise InputError("--output is neither .csv nor .jsonl", where=args.output)
    if args.plan_only and args.output.suffix != ".csv":
        raise InputError(
            "--plan-only writes a table, not a manifest", where=args.output, fix="name a .csv file, or cut the clips"
        )
    if not args.plan_only and not (args.videos and args.clips_dir):
        raise InputError("--videos and --clips-dir are needed to cut", fix="give both, or --plan-only")
    if not args.plan_only and not args.videos.is_dir():
        raise InputError("no such folder of media files", where=args.videos, fix="give the right --videos")


def _check_share(lost: int, planned: int, most: float) -> None:
    if lost > most * planned:
        raise InputError(
            f"{lost} of {planned} planned clips could not be cut, over --max-rejected {most:g}",
            where="the lines above, and the file given by --rejected",
            fix="repair or leave out (--cases) what is named there, or raise the limit",
        )


def _table(planned: list[tuple[str, PlannedClip]]) -> str:
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(("case", "file", "start_s", "duration_s"))
    rows: list[tuple[str, str, float, float | str]] = []
    for case, clip in planned:
        duration = "" if clip.end_s is None else round(clip.end_s - clip.start_s, 3)
        rows.append((case, clip_file(clip), round(clip.start_s, 3), duration))
    rows.sort(key=lambda row: row[:2])
    writer.writerows(rows)
    return text.getvalue()


if __name__ == "__main__":
    run(main, parser())
