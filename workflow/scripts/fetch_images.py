"""Fetches the images of LLaVA-Med's data from PubMed Central, as llava_med_image_urls.jsonl lists them.

Run as:
    python workflow/scripts/fetch_images.py --urls llava_med_image_urls.jsonl --images data/images
    python workflow/scripts/fetch_images.py --urls urls.jsonl --only instruct_10k.json --images data/images

An archive is fetched, checked to its end, its named images are taken out, and
it is deleted. What is there already is not fetched again, and an archive whose
download was interrupted goes on where it stopped: start it again at any time.
"""

from __future__ import annotations

import argparse
from collections import Counter
from pathlib import Path

from suture import article_images, records
from suture.article_images import Limits
from suture.cli import Parser, run, share
from suture.datasets.conversations import rows
from suture.errors import InputError


def parser() -> Parser:
    """Returns the command line's parser."""
    p = Parser(__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument("--urls", type=Path, required=True, metavar="FILE", help="the list of images (JSON Lines)")
    p.add_argument("--images", type=Path, required=True, metavar="DIR", help="folder of the images")
    p.add_argument("--only", type=Path, nargs="+", metavar="FILE", help="only the images of these conversations")
    p.add_argument("--limit", type=int, metavar="N", help="only the first N images of the list")
    p.add_argument("--workers", type=int, default=4, metavar="N", help="archives fetched at once (4)")
    p.add_argument("--archive-mb", type=float, default=500, metavar="MB", help="largest archive (500)")
    p.add_argument("--image-mb", type=float, default=50, metavar="MB", help="largest image (50)")
    p.add_argument("--seconds", type=float, default=60, metavar="S", help="longest wait for a server (60)")
    p.add_argument("--tries", type=int, default=3, metavar="N", help="tries of each archive (3)")
    p.add_argument("--rejected", type=Path, metavar="FILE", help="write what could not be fetched, with reasons")
    p.add_argument("--max-rejected", type=share, default=0.1, metavar="SHARE", help="largest share of those (0.1)")
    return p


def main(args: argparse.Namespace) -> None:
    """Fetches; says what is there now."""
    if min(args.workers, args.tries) < 1 or min(args.archive_mb, args.image_mb, args.seconds) <= 0:
        raise InputError("--workers, --tries, --archive-mb, --image-mb and --seconds must be above 0")
    wanted, rejected = article_images.read_list(args.urls)
    if args.only:
        named = {Path(one.image).name for path in args.only for one in rows.read(path) if isinstance(one, rows.Asked)}
        wanted = [one for one in wanted if one.name in named]
    wanted = wanted[: args.limit]
    there = sum((args.images / one.name).is_file() for one in wanted)
    limits = Limits(archive_mb=args.archive_mb, image_mb=args.image_mb, seconds=args.seconds, tries=args.tries)
    written: set[str] = set()
    rejected += article_images.fetch(wanted, args.images, limits, workers=args.workers, seen=written)
    if args.rejected:
        records.write(args.rejected, rejected)
    reasons = ", ".join(f"{reason} {n}" for reason, n in sorted(Counter(one.reason for one in rejected).items()))
    print(f"{len(wanted)} images: {there} were there, {len(written)} fetched; left out: {reasons or 'nothing'}")
    if len(rejected) > args.max_rejected * (len(rejected) + there + len(written)):
        raise InputError(
            f"{len(rejected)} images could not be fetched, over --max-rejected {args.max_rejected:g}: {reasons}",
            where=rejected[0].detail,
            fix="start it again: only what is missing is fetched",
        )


if __name__ == "__main__":
    run(main, parser())
