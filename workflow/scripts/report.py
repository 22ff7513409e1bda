"""Makes the page of a run: what was run, on what data, with what result.

One HTML file without scripts and without references to other files. Where the
data are credentialed it shows neither media nor text of samples.
"""

from __future__ import annotations

import argparse
import datetime
import sys
from pathlib import Path

from suture import files, records
from suture.cli import Parser, run
from suture.errors import InputError
from suture.metrics import read_metrics
from suture.records import Prediction
from suture.reporting import dag, inputs
from suture.reporting.media import Pictures
from suture.reporting.page import LARGEST, Page, render
from suture.reporting.samples import MANY_EXPERIMENTS, Gallery, gallery
from suture.reporting.splits import read_split


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
    made.add_argument("--ledger", type=Path, help="ledger.jsonl")
    made.add_argument("--sharing", required=True, choices=["open", "internal", "credentialed"], help="who may see data")
    made.add_argument("--output", required=True, type=Path, help="report.html")
    return made


def main(args: argparse.Namespace) -> None:
    """Reads everything, renders the page and writes it."""
    metrics = read_metrics(args.metrics)
    pictures = Pictures([] if args.sharing == "credentialed" else args.frames_cache)
    galleries = None if args.sharing == "credentialed" else _galleries(args, pictures)
    page = Page(
        run=args.run,
        made=datetime.date.today().isoformat(),
        sharing=args.sharing,
        metrics=metrics,
        settings=inputs.read_settings(args.config, name_cases=args.sharing != "credentialed"),
        drawing=dag.draw(dag.parse_mermaid(files.read_text(args.rulegraph), where=args.rulegraph)),
        split=read_split(args.split),
        left_out=inputs.read_left_out(args.rejected, args.frames_rejected),
        losses={name: inputs.read_losses(path) for name, path in inputs.named(args.logs, flag="--logs").items()},
        galleries=galleries,
        full=pictures.left_out,
        ledger=inputs.read_ledger(args.ledger) if args.ledger else (),
    )
    html = render(page)
    size = len(html.encode())
    if size > LARGEST:
        raise InputError(
            f"the page would be {size / 1e6:.1f} MB; its limit is {LARGEST / 1e6:.0f} MB",
            where=args.output,
            fix="report fewer experiments at a time",
        )
    files.write_text(args.output, html)
    print(f"{args.output}: {size / 1e6:.2f} MB", file=sys.stderr)


def _galleries(args: argparse.Namespace, pictures: Pictures) -> list[Gallery]:
    paths = inputs.named(args.predictions, flag="--predictions")
    many = len(paths) > MANY_EXPERIMENTS
    return [gallery(name, records.read(path, Prediction), pictures, many=many) for name, path in sorted(paths.items())]


if __name__ == "__main__":
    run(main, parser())
