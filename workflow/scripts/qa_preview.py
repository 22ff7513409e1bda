"""Shows what a language model would be told, without telling it: the prompts of some clips, in full.

Run as:
    python workflow/scripts/qa_preview.py --objects case_objects.json --clips clips.jsonl --count 3

Nothing is called or sent. The output depends on the annotation, the templates
and the options alone, so that two of them can be compared with diff. Clip names
stand in the headings, which are no part of a prompt.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import cast, get_args

from suture import files, records, registry
from suture.cli import Parser, run
from suture.config.publishing import Sharing
from suture.config.qa import LLM
from suture.errors import ConfigError
from suture.files import sha256_text
from suture.qa import facts, scenes, schema, sharing
from suture.qa.base import ALL_KINDS, KINDS
from suture.qa.names import ObjectNames
from suture.qa.prompting import Prompts


def parser() -> Parser:
    p = Parser(__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument("--objects", type=Path, nargs="+", required=True, help="made by describe_objects.py --mode default")
    p.add_argument("--clips", type=Path, nargs="+", required=True, help="clips manifests (JSON Lines)")
    p.add_argument("--adapter", default="cataract1k", help="dataset adapter (default: cataract1k)")
    p.add_argument("--count", type=int, default=3, help="clips to show, spread over all; 0: each of them (default: 3)")
    p.add_argument("--kinds", nargs="+", choices=ALL_KINDS, default=list(KINDS[:3]), help="kinds of question")
    p.add_argument("--wordings", type=int, default=1, help="styles of question in use (default: 1)")
    p.add_argument("--first-wording", type=int, default=0, help="the first of them (default: 0)")
    p.add_argument("--seed", type=int, default=42, help="moves styles (default: 42)")
    p.add_argument("--prompts", type=Path, help="folder with prompt templates of your own")
    p.add_argument("--base-url", help="say whether facts may go to this server")
    p.add_argument("--allow-internal", action="store_true", help="as in the config")
    p.add_argument("--output", type=Path, help="write to this file instead of the terminal")
    p.add_argument("--sharing", choices=get_args(Sharing), help="who may see the data (default: the adapter's)")
    return p


def main(args: argparse.Namespace) -> None:
    if args.count < 0:
        raise ConfigError(f"--count {args.count}", fix="0 for all, or a number of clips")
    adapter = registry.dataset(args.adapter)
    names = ObjectNames.of(adapter)
    clips = [clip for path in args.clips for clip in records.read(path, records.Clip)]
    found, rejected = facts.gather(
        clips,
        [scene for path in args.objects for scene in scenes.read(path, names)],
        names,
        with_relations="spatial" in args.kinds,
        with_before="order" in args.kinds,
    )
    prompts = Prompts(
        args.prompts,
        names,
        getattr(adapter, "PHASES", ()),
        wordings=args.wordings,
        first=args.first_wording,
        seed=args.seed,
    )
    data = cast(Sharing, args.sharing or adapter.SHARING)
    llm = LLM(model="preview", base_url=args.base_url, allow_internal=args.allow_internal)
    refused = sharing.refusal(data, llm)
    where = args.base_url or "a model on this machine"
    lines = [
        f"# sharing: {data}; to {where}: {'refused, ' + refused if refused else 'allowed'}",
        f"# {len(found)} clips to ask about; {len(rejected)} left out before that",
    ]
    chosen = found
    if args.count and len(found) > args.count:
        chosen = [found[at * len(found) // args.count] for at in range(args.count)]
    if chosen:
        system = prompts.messages(chosen[0], chosen[0].kinds(args.kinds))[0]["content"]
        lines.append(f"\n# system, the same for each clip (sha256 {sha256_text(system)[:16]})\n{system}")
    for one in chosen:
        kinds = one.kinds(args.kinds)
        lines.append(f"\n# clip {one.clip}\n{prompts.messages(one, kinds)[1]['content']}")
        lines.append(f"# schema: {json.dumps(schema.of(one, kinds), ensure_ascii=False)}")
    text = "\n".join(lines)
    if args.output is None:
        print(text)
        return
    files.write_text(args.output, text + "\n")
    print(f"{args.output}: {len(chosen)} clips")


if __name__ == "__main__":
    run(main, parser())
