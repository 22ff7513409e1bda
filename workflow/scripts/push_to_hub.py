"""Pushes an exported model to the Hugging Face hub, with a page that says what it is and how good.

Run as:
    HF_TOKEN=... python workflow/scripts/push_to_hub.py --model results/demo/models/qwen-small \\
        --repo-id our-group/qwen-small --dataset cataract1k --sharing open --experiment qwen-small \\
        --metrics results/demo/metrics/qwen-small.json --split-info results/demo/manifests/split/split.json \\
        --ledger results/demo/ledger.jsonl --output pushed.json
    ... --dry-run        writes the page only

The page is also written beside --output, as NAME.README.md. Models of
credentialed data are never pushed, those of internal data only with
--allow-internal. The token comes from the environment variable HF_TOKEN only.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from typing import cast, get_args

from suture import files, ledger, model_card, publishing, registry
from suture.cli import Parser, run
from suture.config.flags import add_flags, from_args
from suture.config.publishing import PushToHub, Sharing, refusal
from suture.errors import InputError
from suture.metrics import check_entry
from suture.model_card import About
from suture.redaction import add_token_flag, refuse_token
from suture.reporting.splits import read_split


def parser() -> Parser:
    p = Parser(__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument("--model", type=Path, required=True, metavar="DIR", help="folder of export_model.py")
    p.add_argument("--dataset", required=True, metavar="NAME", help="name of the data it was trained on")
    p.add_argument("--sharing", required=True, choices=get_args(Sharing), help="who may see those data")
    p.add_argument("--task", metavar="NAME", help="what an answer is", choices=registry.names("task"))
    p.add_argument("--metrics", type=Path, metavar="FILE", help="the model's entry of score.py")
    p.add_argument("--split-info", type=Path, metavar="FILE", help="split.json")
    p.add_argument("--ledger", type=Path, metavar="FILE", help="ledger.jsonl: what the training cost")
    p.add_argument("--experiment", metavar="NAME", help="whose entries of the ledger; default: all")
    p.add_argument("--dry-run", action="store_true", help="check everything and write the page, push nothing")
    p.add_argument("--output", type=Path, required=True, metavar="FILE", help="receipt: commit, digests (JSON)")
    add_token_flag(p)
    add_flags(p, PushToHub)
    return p


def main(args: argparse.Namespace) -> None:
    refuse_token(args)
    options = cast(PushToHub, from_args(args, PushToHub))
    if reason := refusal(args.sharing, options):
        raise InputError(f"not pushed: {reason}")
    if not args.dry_run:
        publishing.token()
    about = _about(args, options)
    page = model_card.render(about)
    files.write_text(args.output.with_name(f"{args.output.stem}.README.md"), page)
    with publishing.staged(args.model, page, options, about.base) as (folder, left_out):
        if left_out:
            print(f"left here: {', '.join(left_out)}", file=sys.stderr)
        if args.dry_run:
            print(f"would push {sum(path.is_file() for path in folder.rglob('*'))} files to {options.repo_id}")
            return
        receipt = publishing.push(folder, options)
    files.write_json(args.output, receipt)
    print(receipt["url"])


def _about(args: argparse.Namespace, options: PushToHub) -> About:
    card = model_card.read(args.model)
    kept = ledger.read(args.ledger) if args.ledger else ledger.Ledger()
    if kept.damaged:
        print(f"{args.ledger}: {len(kept.damaged)} lines are no entry: {kept.damaged}", file=sys.stderr)
    task = registry.literals("task", args.task) if args.task else {}
    return About(
        repo_id=options.repo_id,
        adapter_only=options.adapter_only,
        dataset=args.dataset,
        pipeline_tag=task.get("PIPELINE_TAG"),
        license=options.license or card.get("base", {}).get("license"),
        card=card,
        metrics=check_entry(files.read_json(args.metrics), where=args.metrics) if args.metrics else None,
        split=read_split(args.split_info) if args.split_info else None,
        entries=kept.of(args.experiment) if args.experiment else kept.entries,
    )


if __name__ == "__main__":
    run(main, parser())
