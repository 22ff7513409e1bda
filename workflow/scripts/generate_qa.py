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

from suture import records, registry
from suture.cli import Parser, run
from suture.errors import ConfigError
from suture.qa import facts, published, samples, scenes
from suture.qa.base import KINDS
from suture.qa.names import ObjectNames
from suture.qa.template import Template


def parser() -> Parser:
    words = Parser(__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    words.add_argument("--backend", choices=["template"], default="template", help="what words the facts")
    source = words.add_mutually_exclusive_group(required=True)
    source.add_argument("--objects", type=Path, help="case_objects.json made by describe_objects.py --mode default")
    source.add_argument("--existing", type=Path, help="a question file in the published layout, instead of a back end")
    words.add_argument(
        "--adapter", default="cataract1k", help="dataset adapter: its object names (default: cataract1k)"
    )
    words.add_argument("--clips", type=Path, nargs="+", required=True, help="clips manifests (JSON Lines)")
    words.add_argument("--kinds", nargs="+", choices=KINDS, default=list(KINDS[:3]), help="kinds of question")
    words.add_argument("--wordings", type=int, default=1, help="wordings of each question in use (default: 1)")
    words.add_argument("--seed", type=int, default=42, help="moves the choice of wordings (default: 42)")
    words.add_argument("--idle", action="store_true", help="ask about idle clips too")
    words.add_argument("--shard", type=int, default=0, help="with --existing: take only the entries of this shard")
    words.add_argument("--shards", type=int, default=1, help="with --existing: number of shards (default: 1)")
    words.add_argument("--output", type=Path, required=True, help="samples manifest to write (JSON Lines)")
    words.add_argument("--rejected", type=Path, help="what was left out and why (JSON Lines)")
    words.add_argument("--published", type=Path, help="also write the samples in the published layout")
    return words


def main(args: argparse.Namespace) -> None:
    clips = [clip for path in args.clips for clip in records.read(path, records.Clip)]
    records.check_unique([clip.id for clip in clips], what="clip", where=", ".join(map(str, args.clips)))
    if not 0 <= args.shard < args.shards or (args.shards > 1 and args.existing is None):
        raise ConfigError(
            f"shard {args.shard} of {args.shards}", fix="--existing FILE --shards N --shard 0 to N-1, or neither"
        )
    if args.existing is not None:
        entries = published.read(args.existing)
        made, rejected = published.to_samples(entries, clips, shard=args.shard, shards=args.shards)
    else:
        backend = Template(args.kinds, args.wordings, args.seed)
        names = ObjectNames.of(registry.dataset(args.adapter))
        found, rejected = facts.gather(
            clips,
            scenes.read(args.objects, names),
            names,
            idle=args.idle,
            with_relations="spatial" in backend.kinds,
        )
        made = samples.make(found, backend)
    records.write(args.output, made)
    if args.rejected is not None:
        records.write(args.rejected, rejected)
    if args.published is not None:
        published.write(args.published, made)
    reasons = ", ".join(f"{reason} {n}" for reason, n in sorted(Counter(one.reason for one in rejected).items()))
    turns = sum(len(sample.turns) for sample in made)
    print(f"{len(made)} samples with {turns} questions; left out: {reasons or 'nothing'}")


if __name__ == "__main__":
    run(main, parser())
