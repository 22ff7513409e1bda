"""Writes question-answer samples for clips.

From the annotation, by fixed sentences:
  generate_qa.py --objects case_objects.json --clips clips.jsonl --output samples.jsonl
The same facts, worded by a language model on this machine, a server of one, or vLLM in its own environment:
  generate_qa.py --backend transformers --model models/mistral --objects .. --clips .. --output ..
  generate_qa.py --backend openai --base-url http://127.0.0.1:8000/v1 --model NAME ..   (key: OPENAI_API_KEY)
  generate_qa.py --backend vllm --vllm /opt/vllm/bin/vllm --model ID --revision COMMIT ..
From an existing file in the published layout (qa_pairs_without_idle.json, train_ or val_qa_pairs.json):
  generate_qa.py --existing qa_pairs_without_idle.json --clips clips.jsonl --output samples.jsonl

A clip gets one sample, with one question for each kind. Several annotated
scenes in one clip: the union of their objects. Idle clips get none unless --idle.

A language model words facts and adds none: what it says is checked, asked for
again with the reason, and then replaced by fixed sentences or left out, counted.
Its replies are kept in --replies as they come; a run that was killed goes on there.
"""

from __future__ import annotations

import argparse
import sys
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import cast, get_args

from suture import files, records, registry
from suture.cli import DEADLINE, Parser, run
from suture.config.flags import add_flags, from_args
from suture.config.publishing import Sharing
from suture.config.qa import LLM, LLM_BACKENDS
from suture.errors import ConfigError
from suture.qa import facts, published, samples, scenes
from suture.qa.base import ALL_KINDS, KINDS, Facts
from suture.qa.names import ObjectNames
from suture.qa.template import Template
from suture.records import Rejection, Sample


def parser() -> Parser:
    words = Parser(__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    words.add_argument(
        "--backend", choices=["template", *LLM_BACKENDS], default="template", help="what words the facts"
    )
    source = words.add_mutually_exclusive_group(required=True)
    source.add_argument("--objects", type=Path, help="case_objects.json made by describe_objects.py --mode default")
    source.add_argument("--existing", type=Path, help="a question file in the published layout, instead of a back end")
    words.add_argument(
        "--adapter", default="cataract1k", help="dataset adapter: its object names (default: cataract1k)"
    )
    words.add_argument("--clips", type=Path, nargs="+", required=True, help="clips manifests (JSON Lines)")
    words.add_argument("--kinds", nargs="+", choices=ALL_KINDS, default=list(KINDS[:3]), help="kinds of question")
    words.add_argument("--wordings", type=int, default=1, help="wordings of each question in use (default: 1)")
    words.add_argument(
        "--first-wording",
        type=int,
        default=0,
        help="the first of them, from 0: others than in training make an out-of-template test set (default: 0)",
    )
    words.add_argument("--seed", type=int, default=42, help="moves wordings and a model's draws (default: 42)")
    words.add_argument("--idle", action="store_true", help="ask about idle clips too")
    words.add_argument("--shard", type=int, default=0, help="with --existing: take only the entries of this shard")
    words.add_argument("--shards", type=int, default=1, help="with --existing: number of shards (default: 1)")
    words.add_argument("--output", type=Path, required=True, help="samples manifest to write (JSON Lines)")
    words.add_argument("--rejected", type=Path, help="what was left out and why (JSON Lines)")
    words.add_argument("--published", type=Path, help="also write the samples in the published layout")
    words.add_argument("--replies", type=Path, help="a language model's replies, appended (default: beside --output)")
    words.add_argument("--quality", type=Path, help="how a language model did: counts, reasons, examples (JSON)")
    words.add_argument("--server-log", type=Path, help="what a started server prints (default: beside --output)")
    words.add_argument(
        "--sharing", choices=get_args(Sharing), help="who may see the data (default: what the adapter declares)"
    )
    # A model is needed with some back ends only.
    add_flags(words, LLM, leave_out=frozenset({"model", "seed"}))
    words.add_argument("--model", help="a language model: a folder, a hub id (vllm), or a server's name for it")
    return words


def main(args: argparse.Namespace) -> int | None:
    clips = [clip for path in args.clips for clip in records.read(path, records.Clip)]
    records.check_unique([clip.id for clip in clips], what="clip", where=", ".join(map(str, args.clips)))
    if not 0 <= args.shard < args.shards or (args.shards > 1 and args.existing is None):
        raise ConfigError(
            f"shard {args.shard} of {args.shards}", fix="--existing FILE --shards N --shard 0 to N-1, or neither"
        )
    made: Sequence[Sample]
    if args.existing is not None:
        entries = published.read(args.existing)
        made, rejected = published.to_samples(entries, clips, shard=args.shard, shards=args.shards)
    else:
        template = Template(args.kinds, args.wordings, args.seed, args.first_wording)
        names = ObjectNames.of(registry.dataset(args.adapter))
        found, rejected = facts.gather(
            clips,
            scenes.read(args.objects, names),
            names,
            idle=args.idle,
            with_relations="spatial" in template.kinds,
            with_before="order" in template.kinds,
        )
        if args.backend == "template":
            made = samples.make(found, template)
        else:
            result = _ask(args, found, names, template)
            if result is None:
                return DEADLINE
            made, more = result
            rejected = sorted([*rejected, *more], key=lambda one: (one.case, one.reason, one.where))
    records.write(args.output, made)
    if args.rejected is not None:
        records.write(args.rejected, rejected)
    if args.published is not None:
        published.write(args.published, made)
    reasons = ", ".join(f"{reason} {n}" for reason, n in sorted(Counter(one.reason for one in rejected).items()))
    turns = sum(len(sample.turns) for sample in made)
    print(f"{len(made)} samples with {turns} questions; left out: {reasons or 'nothing'}")
    return None


def _ask(
    args: argparse.Namespace, found: Sequence[Facts], names: ObjectNames, template: Template
) -> tuple[Sequence[Sample], Sequence[Rejection]] | None:
    """Has a language model word the facts; None where its server went away."""
    # What only a language model needs: the template back end starts without it.
    from suture.qa import backends, quality, writing
    from suture.qa.journal import Journal
    from suture.qa.prompting import Prompts
    from suture.qa.terms import Terms
    from suture.qa.writers.base import ServerGone

    if not args.model:
        raise ConfigError(f"--backend {args.backend} needs a model", fix="--model")
    llm = cast(LLM, from_args(args, LLM, model=args.model, seed=args.seed))
    adapter = registry.dataset(args.adapter)
    terms = Terms.of(adapter, names)
    folder = Path(llm.prompts) if llm.prompts else None
    prompts = Prompts(folder, names, terms.phases, wordings=args.wordings, first=args.first_wording, seed=args.seed)
    log = args.server_log or args.output.with_suffix(".server.log")
    data = cast(Sharing, args.sharing or adapter.SHARING)
    with Journal(args.replies or args.output.with_suffix(".replies.jsonl")) as journal:
        try:
            with backends.opened(args.backend, llm, data=data, log=log) as writer:
                done = writing.write(found, template.kinds, writer, journal, prompts, terms, llm, template)
                revision = writer.revision
        except ServerGone as error:
            print(f"generate_qa: {error}; {len(journal.replies)} replies are kept: run it again", file=sys.stderr)
            return None
    found_quality = quality.of_shard(
        done, backend=args.backend, model=llm.model, revision=revision, prices=(llm.price_in, llm.price_out)
    )
    if args.quality is not None:
        files.write_json(args.quality, found_quality)
    print(
        f"{found_quality['accepted']} of {found_quality['clips']} clips worded by the model, "
        f"{found_quality['refused_replies']} of {found_quality['replies']} replies refused, "
        f"{found_quality['by_template']} clips by the template"
    )
    return done.samples, done.rejections


if __name__ == "__main__":
    run(main, parser(), gpus=True)
