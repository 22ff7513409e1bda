"""Makes a page of the frames that models were shown: one self-contained HTML file that chooses among its groups.

Run as:
    python workflow/scripts/sampling_dashboard.py --csv-dir results/endofm/tracking/*/sampling_indices \\
        --output sampling.html
    python workflow/scripts/sampling_dashboard.py --csv ... --frames-cache cache/shard-*.jsonl --strips 6 --output ...

It reads the sampling indices that train.py, predict.py and sample_frames.py
write: distribution over the video, evenness of the gaps, coverage, frames a
view, by run, split, method and round. With --frames-cache it also shows the
frames themselves; leave it out where the data must not travel. --numbers
keeps what the page shows as JSON, for report.py.
"""

from __future__ import annotations

import argparse
from pathlib import Path

from suture import files, sampled_frames, sampling_dashboard
from suture.cli import Parser, run
from suture.errors import InputError
from suture.frames import FrameCache
from suture.sampled_frames import check_whole


def parser() -> Parser:
    """Returns the command line's parser."""
    p = Parser(__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument("--csv", type=Path, nargs="+", default=[], metavar="FILE", help="sampling indices")
    p.add_argument("--csv-dir", type=Path, nargs="+", default=[], metavar="DIR", help="all of these folders")
    p.add_argument("--frames-cache", type=Path, nargs="+", metavar="FILE", help="cache_frames --all manifests")
    p.add_argument("--strips", type=int, default=4, metavar="N", help="views of each file shown as pictures (4)")
    p.add_argument("--numbers", type=Path, metavar="FILE", help="also write the numbers: JSON")
    p.add_argument("--output", type=Path, required=True, metavar="FILE", help="HTML page to write")
    return p


def main(args: argparse.Namespace) -> None:
    """Reads the files and writes the page."""
    paths = [*args.csv, *(path for folder in args.csv_dir for path in _of_folder(folder))]
    if not paths:
        raise InputError("which frames were drawn?", fix="give --csv FILE ... or --csv-dir DIR ...")
    series = [sampling_dashboard.series_of(path, sampled_frames.read(path)) for path in paths]
    if not any(one.rows for one in series):
        raise InputError("no line in these files", where=paths[0])
    pictures = []
    if args.frames_cache:
        cache = FrameCache(args.frames_cache)
        check_whole(cache, sorted({row.clip for one in series for row in one.rows if row.clip in cache}))
        pictures = sampling_dashboard.strips(series, cache, videos=args.strips)
    found = sampling_dashboard.groups(series)
    files.write_text(args.output, sampling_dashboard.render(found, pictures))
    if args.numbers:
        files.write_json(args.numbers, found)
    print(f"{len(found)} groups, {len(pictures)} strips")


def _of_folder(folder: Path) -> list[Path]:
    """Lists the sampling indices of a folder."""
    if found := sorted(folder.glob("*.csv")):
        return found
    raise InputError(
        "no sampling indices here",
        where=folder,
        fix="train.py and predict.py write them; sample_frames.py --root ... --output makes them of a folder of videos",
    )


if __name__ == "__main__":
    run(main, parser())
