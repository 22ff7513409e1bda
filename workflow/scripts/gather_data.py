"""Brings the shards of a run together: clips, objects, samples, and what was left out and why.

The run stops here, with exit code 2, where more of the media files, of the
clips or of the samples than --max-rejected could not be used.
"""

from __future__ import annotations

import argparse
from pathlib import Path

from suture import files, gathering, records, windows
from suture.cli import Parser, run, share
from suture.errors import InputError
from suture.qa import published
from suture.records import Clip, Sample


def parser() -> Parser:
    words = Parser(__doc__)
    words.add_argument("--clips", type=Path, nargs="+", required=True, help="clip manifests of all shards")
    words.add_argument("--objects", type=Path, nargs="*", default=[], help="case_objects.json of all shards")
    words.add_argument("--samples", type=Path, nargs="+", required=True, help="sample manifests of all shards")
    words.add_argument("--rejected", type=Path, nargs="*", default=[], help="manifests of what was left out")
    words.add_argument(
        "--max-rejected", type=share, default=0.1, help="largest share of unusable media files, clips and samples"
    )
    words.add_argument("--output-clips", type=Path, required=True, help="clips.jsonl to write")
    words.add_argument("--output-objects", type=Path, required=True, help="case_objects.json to write")
    words.add_argument("--output-samples", type=Path, required=True, help="samples.jsonl to write")
    words.add_argument("--output-qa", type=Path, required=True, help="qa_pairs_without_idle.json to write")
    words.add_argument("--output-rejected", type=Path, required=True, help="rejected.json to write")
    return words


def main(args: argparse.Namespace) -> None:
    clips = gathering.gather(args.clips, Clip)
    samples = gathering.gather(args.samples, Sample)
    objects = gathering.gather_objects(args.objects)
    rejected = gathering.gather_rejections(args.rejected)
    gathering.check_clips(samples, clips)
    found = gathering.shares(clips, samples, rejected)
    # Written first: where the run stops, the whole list of what was left out is there to be read.
    files.write_json(args.output_rejected, gathering.summary(rejected, found))
    gathering.check_shares(found, rejected, args.max_rejected)
    if not samples:
        raise InputError(
            f"no samples at all: {len(clips)} clips, {len(rejected)} things left out",
            where=args.output_rejected,
            fix="the dataset needs object annotations (qa.backend: template) or questions (qa.backend: annotation)",
        )
    records.write(args.output_clips, clips)
    files.write_json(args.output_objects, objects, sort_keys=False)
    records.write(args.output_samples, samples)
    asked = sorted((one for one in samples if one.phase != windows.IDLE), key=lambda one: (one.clip, one.id))
    published.write(args.output_qa, asked)
    turns = sum(len(sample.turns) for sample in samples)
    print(f"{len(clips)} clips, {len(samples)} samples with {turns} questions, {len(rejected)} left out")


if __name__ == "__main__":
    run(main, parser())
