"""Makes the page of a run: what was run, on what data, with what result.

One HTML file without scripts and without references to other files, under 15 MB:
where it would be larger it has fewer pictures, and says so. Where the data are
credentialed it shows neither media nor text of samples.
"""

from __future__ import annotations

import argparse
import datetime
import sys
from pathlib import Path
from typing import Any

from suture import files, records
from suture.cli import Parser, run
from suture.errors import InputError
from suture.metrics import read_metrics
from suture.private import owner_only
from suture.records import Prediction
from suture.reporting import dag, inputs, jobs, questions, used
from suture.reporting.media import BUDGET, Pictures
from suture.reporting.page import LARGEST, Page, is_judged, render
from suture.reporting.samples import MANY_EXPERIMENTS, CaseScore, Gallery, gallery, illustrate
from suture.reporting.splits import read_split
from suture.reviewing import rate


def parser() -> Parser:
    """Makes the command line."""
    made = Parser(__doc__)
    made.add_argument("--run", required=True, help="name of the run")
    made.add_argument("--metrics", required=True, type=Path, help="metrics.json of the run")
    made.add_argument("--split", required=True, type=Path, help="split.json")
    made.add_argument("--rejected", required=True, type=Path, help="rejected.json: what was left out, and why")
    made.add_argument(
        "--frames-rejected", nargs="*", default=[], type=Path, help="cache_frames' lists of clips left out"
    )
    made.add_argument("--predictions", nargs="*", default=[], metavar="NAME=FILE", help="predictions by experiment")
    made.add_argument("--logs", nargs="*", default=[], metavar="NAME=FILE", help="training log by experiment")
    made.add_argument("--frames-cache", nargs="*", default=[], type=Path, help="manifests; each has its .npy beside it")
    made.add_argument("--rulegraph", required=True, type=Path, help="text of snakemake --rulegraph mermaid-js")
    made.add_argument("--config", required=True, type=Path, help="config.resolved.yaml")
    made.add_argument("--ledger", type=Path, help="ledger.jsonl: what the training jobs took")
    made.add_argument(
        "--used", nargs=2, type=Path, metavar="DIR", help="folders of logs and of benchmarks: what the jobs used"
    )
    made.add_argument("--qa-quality", type=Path, help="qa_quality.json: how good the questions are")
    made.add_argument("--review", type=Path, help="review.json: what a clinician's review found")
    made.add_argument("--sampling", type=Path, help="sampling_dashboard --numbers: which frames were drawn")
    made.add_argument("--sharing", required=True, choices=["open", "internal", "credentialed"], help="who may see data")
    made.add_argument("--output", required=True, type=Path, help="report.html")
    made.add_argument(
        "--private", type=Path, help="credentialed data: a second page with text and frames, for its owner's eyes"
    )
    return made


def main(args: argparse.Namespace) -> None:
    """Reads everything, renders the page and writes it; for credentialed data, also the one that stays here."""
    closed = args.sharing == "credentialed"
    if args.private and not closed:
        raise InputError(f"--private is for credentialed data; these are {args.sharing}", fix="leave it out")
    _write(args, args.output, with_words=not closed)
    if args.private:
        with owner_only():
            _write(args, args.private, with_words=True)


def _write(args: argparse.Namespace, output: Path, *, with_words: bool) -> None:
    """Renders the page with less and less room for pictures until it is small enough."""
    metrics = read_metrics(args.metrics)
    chosen = _galleries(args, metrics)
    size = 0
    for budget in (BUDGET, BUDGET // 2, BUDGET // 8, 0):
        pictures = Pictures(args.frames_cache if with_words else [], budget=budget, parts=len(chosen))
        galleries = [illustrate(one, pictures) for one in chosen] if with_words else None
        cases = {one.experiment: one.cases for one in chosen}
        html = render(_page(args, metrics, galleries, cases, pictures, with_words=with_words))
        size = len(html.encode())
        if size <= LARGEST:
            files.write_text(output, html)
            print(f"{output}: {size / 1e6:.2f} MB", file=sys.stderr)
            return
    raise InputError(
        f"the page would be {size / 1e6:.1f} MB without a picture; its limit is {LARGEST / 1e6:.0f} MB",
        where=output,
        fix="report fewer experiments at a time",
    )


def _page(
    args: argparse.Namespace,
    metrics: dict[str, Any],
    galleries: list[Gallery] | None,
    cases: dict[str, tuple[CaseScore, ...]],
    pictures: Pictures,
    *,
    with_words: bool,
) -> Page:
    return Page(
        run=args.run,
        made=datetime.date.today().isoformat(),
        sharing=args.sharing,
        private=with_words and args.sharing == "credentialed",
        metrics=metrics,
        settings=inputs.read_settings(args.config, name_cases=with_words),
        drawing=dag.draw(dag.parse_mermaid(files.read_text(args.rulegraph), where=args.rulegraph)),
        split=read_split(args.split),
        left_out=inputs.read_left_out(args.rejected, args.frames_rejected),
        losses={name: inputs.read_losses(path) for name, path in inputs.named(args.logs, flag="--logs").items()},
        galleries=galleries,
        cases=cases,
        thinned=pictures.thinned,
        full=pictures.left_out,
        jobs=jobs.read_jobs(args.ledger) if args.ledger else None,
        used=used.read(*args.used) if args.used else [],
        quality=questions.read_quality(args.qa_quality, with_words=with_words) if args.qa_quality else None,
        review=rate.read(args.review) if args.review else None,
        sampling=files.read_json(args.sampling) if args.sampling else [],
    )


def _galleries(args: argparse.Namespace, metrics: dict[str, Any]) -> list[Gallery]:
    """Reads the predictions, one experiment after the other: of each only what is shown is kept."""
    paths = inputs.named(args.predictions, flag="--predictions")
    unmeasured = sorted(paths.keys() - metrics["experiments"].keys())
    if unmeasured:
        raise InputError(f"--predictions names {unmeasured[0]!r}, which is not measured", where=args.metrics)
    return [
        gallery(
            name,
            records.read(path, Prediction),
            many=len(paths) > MANY_EXPERIMENTS,
            judged=is_judged(metrics["experiments"][name]),
        )
        for name, path in sorted(paths.items())
    ]


if __name__ == "__main__":
    run(main, parser())
