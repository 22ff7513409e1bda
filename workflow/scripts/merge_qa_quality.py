"""Adds up the quality of all shards of a run, and tells what only all samples together tell.

Run as:
    python workflow/scripts/merge_qa_quality.py --samples manifests/samples/*.jsonl --shards qa/*.quality.json \\
        --output qa_quality.json
"""

from __future__ import annotations

import argparse
from pathlib import Path

from suture import files, records
from suture.cli import Parser, run
from suture.qa import quality
from suture.records import Sample


def parser() -> Parser:
    p = Parser(__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument("--samples", type=Path, nargs="+", required=True, help="samples manifests of all shards")
    p.add_argument("--shards", type=Path, nargs="*", default=[], help="what generate_qa.py --quality wrote")
    p.add_argument("--output", type=Path, required=True, help="quality of the run (JSON)")
    return p


def main(args: argparse.Namespace) -> None:
    samples = [sample for path in args.samples for sample in records.read(path, Sample)]
    merged = quality.merge([files.read_json(path) for path in args.shards], samples)
    files.write_json(args.output, merged)
    for kind, one in merged["variety"].items():
        print(
            f"{kind}: {one['pairs']} pairs, {one['distinct_questions']} questions and {one['distinct_answers']} "
            f"answers differ; {one['question_only_accuracy']:.0%} of the answers are given away by the question"
        )


if __name__ == "__main__":
    run(main, parser())
