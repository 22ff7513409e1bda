"""Writes question-answer samples for clips.

From the annotation, by a back end:
  generate_qa.py --backend template --objects case_objects.json --clips clips.jsonl --output samples.jsonl
From an existing file in the published layout (qa_pairs_without_idle.json, train_ or val_qa_pairs.json):
  generate_qa.py --existing qa_pairs_without_idle.json --clips clips.jsonl --output samples.jsonl

A clip gets one sample, with one question for each kind. Several annotated
scenes in one clip: the union of their objects. Idle clips get none unless --idle.
"""

from __future__ import annotations

import argparse
from collections import Counter
from pathlib import Path

from suture import records
from suture.cli import Parser, run
from suture.errors import ConfigError
from suture.qa import facts, published, samples, scenes
from suture.qa.base import KINDS
from suture.qa.template import Template


def parser() -> Parser:
    words = Parser(__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    words.add_argument("--backend", choices=["template"], default="template", help="what words the facts")
    source = words.add_mutually_exclusive_group(required=True)
    source.add_argument("--objects", type=Path, help="case_objects.json made by describe_objects.py --mode default")
    source.add_argument("--existing", type=Path, help="a question file in the published layout, instead of a back end")
    words.add_argument("--clips", type=Path, required=True, help="clips manifest (JSON Lines)")
    words.add_argument("--kinds", nargs="+", choices=KINDS, default=list(KINDS[:3]), help="kinds of question")
    words.add_argument("--wordings", type=int, default=1, help="wordings of each question in use (default: 1)")
    words.add_argument("--seed", type=int, default=42, help="moves the choice of wordings (default: 42)")
    words.add_argument("--idle", action="store_true", help="ask about idle clips too")
    words.add_argument("--cases", nargs="+", help="with --existing: take only entries of these cases (a shard's)")
    words.add_argument("--output", type=Path, required=True, help="samples manifest to write (JSON Lines)")
    words.add_argument("--rejected", type=Path, help="what was left out and why (JSON Lines)")
    words.add_argument("--published", type=Path, help="also write the samples in the published layout")
    return words


def main(args: argparse.Namespace) -> None:
    clips = records.read(args.clips, records.Clip)
    records.check_unique([clip.id for clip in clips], what="clip", where=args.clips)
    if args.existing is not None:
        made, rejected, others = published.to_samples(published.read(args.existing), clips, cases=args.cases)
        note = f"; {others} entries of other cases passed over" if others else ""
    elif args.cases is not None:
        raise ConfigError("--cases goes with --existing", fix="give the clips and objects of those cases instead")
    else:
        backend = Template(args.kinds, args.wordings, args.seed)
        found, rejected = facts.gather(
            clips, scenes.read(args.objects), idle=args.idle, with_relations="spatial" in backend.kinds
        )
        made, note = samples.make(found, backend), ""
    records.write(args.output, made)
    if args.rejected is not None:
        records.write(args.rejected, rejected)
    if args.published is not None:
        published.write(args.published, made)
    reasons = ", ".join(f"{reason} {n}" for reason, n in sorted(Counter(one.reason for one in rejected).items()))
    turns = sum(len(sample.turns) for sample in made)
    print(f"{len(made)} samples with {turns} questions; left out: {reasons or 'nothing'}{note}")


if __name__ == "__main__":
    run(main, parser())
