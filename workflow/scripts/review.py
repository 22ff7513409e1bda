"""Makes the page in which a clinician judges a sample of the questions and answers.

Run as:
    make review N=100
    python workflow/scripts/review.py --run results/demo --count 100

The page is one file that needs no network: clip, question, answer; accept, fix
or reject, by keyboard. It exports corrections.csv, which the config takes as
`qa: {corrections: corrections.csv}`: a fix replaces, a reject drops.

Answers are drawn in proportion to kind and phase, spread over the cases; the
same seed draws the same ones. Those that the run's corrections judge already
are not drawn again. What is not open stays in the run's folder and is readable
by its owner only.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from typing import Any, get_args

import yaml

from suture import files, records, registry
from suture.cli import Parser, run
from suture.config.publishing import Sharing
from suture.errors import InputError
from suture.private import owner_only
from suture.progress import progress
from suture.records import Clip, Sample
from suture.reviewing import corrections
from suture.reviewing.clips import Clips, Shown
from suture.reviewing.drawing import Asked, draw
from suture.reviewing.page import Page, render


def parser() -> Parser:
    """Makes the command line."""
    made = Parser(__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    made.add_argument("--run", type=Path, required=True, metavar="DIR", help="folder of the run: results/NAME")
    made.add_argument("--count", type=int, default=100, metavar="N", help="answers to judge (100)")
    made.add_argument("--seed", type=int, default=42, metavar="N", help="of the draw (42)")
    made.add_argument("--sharing", choices=get_args(Sharing), help="who may see the data (default: as the run has it)")
    made.add_argument("--output", type=Path, metavar="FILE", help="the page (review.html in the run's folder)")
    return made


def main(args: argparse.Namespace) -> None:
    """Draws the answers, makes their clips small and writes the page."""
    if args.count < 1:
        raise InputError(f"--count {args.count}", fix="a number of answers, 1 or more")
    config = _config(args.run)
    sharing = args.sharing or config.get("sharing") or registry.dataset(config["dataset"]).SHARING
    output = args.output or args.run / "review.html"
    if sharing != "open" and not output.resolve().is_relative_to(args.run.resolve()):
        raise InputError(f"the data are {sharing}", where=output, fix=f"write the page into {args.run}")
    samples = _samples(args.run)
    judged = {one.place for one in corrections.read(_corrections(config))}
    asked = draw(samples, args.count, seed=args.seed, judged=judged)
    if not asked:
        raise InputError(f"all {len(judged)} answers have been judged", where=args.run)
    clips = Clips(args.run / "clips")
    shown = _shown(args.run, asked, clips)
    page = Page(
        run=str(config["run"]),
        sharing=sharing,
        asked=asked,
        clips=shown,
        total=sum(len(sample.turns) for sample in samples),
        thinned=clips.thinned,
        left_out=clips.left_out,
    )
    with owner_only(sharing != "open"):
        files.write_text(output, render(page))
    for line in clips.unread:
        print(f"left without its clip: {line}", file=sys.stderr)
    print(f"{output}: {len(asked)} answers about {len(shown)} clips, {output.stat().st_size / 1e6:.1f} MB")


def _config(folder: Path) -> dict[str, Any]:
    path = folder / "config.resolved.yaml"
    if not path.is_file():
        raise InputError("not the folder of a run", where=folder, fix="give --run results/NAME, after snakemake")
    config = yaml.safe_load(files.read_text(path))
    if not isinstance(config, dict):
        raise InputError("not a YAML mapping", where=path)
    return config


def _corrections(config: dict[str, Any]) -> list[Path]:
    named = (config.get("qa") or {}).get("corrections") or []
    return [Path(name) for name in ([named] if isinstance(named, str) else named)]


def _samples(folder: Path) -> list[Sample]:
    """Reads the samples as they were before any correction: their turns keep their numbers."""
    shards = [path for path in sorted((folder / "manifests" / "samples").glob("*.jsonl")) if path.stem.isdecimal()]
    if not shards:
        raise InputError("there are no samples", where=folder / "manifests" / "samples", fix="run: snakemake data")
    return [sample for path in shards for sample in records.read(path, Sample)]


def _shown(folder: Path, asked: list[Asked], clips: Clips) -> dict[str, Shown]:
    known: dict[str, Clip] = {clip.id: clip for clip in records.read(folder / "manifests" / "clips.jsonl", Clip)}
    wanted = list(dict.fromkeys(one.sample.clip for one in asked))
    missing = [name for name in wanted if name not in known]
    if missing:
        raise InputError(f"there is no clip {missing[0]!r} in clips.jsonl", where=folder, fix="run: snakemake data")
    return {name: clips.show(known[name]) for name in progress(wanted, what="clips")}


if __name__ == "__main__":
    run(main, parser())
