"""Question writing in this process: one request at a time, in batches, and with the rules read once.

The prompts are the published ones, of the real kind: about 600 tokens of rules,
the same for each clip, and 60 of facts. The model is a Mistral of the real
class with random weights, so each reply is exactly --reply tokens long. Before
anything is timed, all ways must give the same replies. Prints a Markdown table;
--output also keeps it as JSON.
"""

from __future__ import annotations

import argparse
import os
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parents[1] / "workflow" / "scripts"))

from suture import files, libraries, machine, registry
from suture.cli import Parser, run
from suture.config.qa import LLM
from suture.errors import SutureError
from suture.qa import requests
from suture.qa.base import Facts
from suture.qa.names import ObjectNames
from suture.qa.prompting import Prompts
from suture.qa.requests import Request
from suture.qa.terms import Terms

KINDS = ("phase", "anatomy", "instruments")
CHAT = (
    "<s>{% for m in messages %}{% if m['role'] == 'assistant' %} {{ m['content'] }}</s>"
    "{% else %}[INST] {{ m['content'] }} [/INST]{% endif %}{% endfor %}"
)


def parser() -> Parser:
    """Returns the command line's parser."""
    p = Parser(__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument("--clips", type=int, default=32, help="requests of each way (32)")
    p.add_argument("--reply", type=int, default=64, help="tokens of each reply (64)")
    p.add_argument("--width", type=int, default=384, help="width of the model (384)")
    p.add_argument("--layers", type=int, default=6, help="its layers (6)")
    p.add_argument("--output", type=Path, help="also write the results here, as JSON")
    return p


def main(args: argparse.Namespace) -> None:
    """Runs the benchmark."""
    libraries.prepare(threads=1)
    from suture.qa.writers.local import LocalWriter

    asked = prompts(args.clips)
    rows: list[dict[str, Any]] = []
    with tempfile.TemporaryDirectory(prefix="suture-qa-") as name:
        lengths = build(Path(name), asked, args.width, args.layers)
        ways = {
            "one at a time": LocalWriter(described(name, 1, args.reply), share=False),
            "in batches of 16": LocalWriter(described(name, 16, args.reply), share=False),
            "in batches of 16, the rules read once": LocalWriter(described(name, 16, args.reply)),
        }
        said = [{reply.id: reply.text for reply in way.write(asked[:4])} for way in ways.values()]
        if any(one != said[0] for one in said):
            raise SutureError("the ways do not give the same replies")
        for way, writer in ways.items():
            began = time.perf_counter()
            tokens = sum(reply.completion_tokens for reply in writer.write(asked))
            seconds = time.perf_counter() - began
            rows.append({"way": way, "requests_a_second": args.clips / seconds, "tokens_a_second": tokens / seconds})
    print(f"{args.clips} prompts of {min(lengths)} to {max(lengths)} tokens\n")
    print("| way | requests a second | tokens a second | this / one at a time |\n|---|---|---|---|")
    for row in rows:
        row["ratio"] = row["requests_a_second"] / rows[0]["requests_a_second"]
        print(f"| {row['way']} | {row['requests_a_second']:.2f} | {row['tokens_a_second']:.0f} | {row['ratio']:.1f} |")
    if args.output:
        about = {"processor": machine.cpu(), "threads": 1, "load_before": round(os.getloadavg()[2], 2)}
        model = {"width": args.width, "layers": args.layers, "prompt_tokens": max(lengths), "reply_tokens": args.reply}
        files.write_json(args.output, {"machine": about, "model": model, "rows": rows})


def described(folder: str, batch_size: int, reply: int) -> LLM:
    """Returns the settings of one way."""
    return LLM(
        model=folder, batch_size=batch_size, max_new_tokens=max(16, reply), temperature=0.0, repetition_penalty=1.0
    )


def prompts(count: int) -> list[Request]:
    """Makes the requests about that many clips."""
    adapter = registry.dataset("cataract1k")
    names = ObjectNames.of(adapter)
    phases = Terms.of(adapter, names).phases
    templates = Prompts(None, names, phases, wordings=4)
    anatomy, instruments = (names.in_order(kind, names.kinds) for kind in ("anatomy", "instruments"))
    found = []
    for at in range(count):
        facts = Facts(
            clip=f"clip {at}",
            case="case",
            phase=phases[at % 12],
            anatomy=anatomy[: 1 + at % 3],
            instruments=instruments[at % 8 : at % 8 + at % 3],
        )
        found.append(requests.make(facts, KINDS, templates, LLM(model="m"), "random"))
    return found


def build(folder: Path, asked: list[Request], width: int, layers: int) -> list[int]:
    """Writes a model that never ends a reply, with random weights; returns the prompts' lengths in tokens."""
    import torch
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
    from transformers import MistralConfig, MistralForCausalLM, PreTrainedTokenizerFast

    raw = Tokenizer(models.BPE())
    raw.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    raw.decoder = decoders.ByteLevel()
    special = ["<s>", "</s>", "[INST]", "[/INST]"]
    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    trainer = trainers.BpeTrainer(
        vocab_size=600, special_tokens=special, initial_alphabet=alphabet, show_progress=False
    )
    raw.train_from_iterator([one["content"] for request in asked for one in request.messages], trainer)
    tokenizer = PreTrainedTokenizerFast(tokenizer_object=raw, eos_token="</s>", chat_template=CHAT)
    torch.manual_seed(0)
    config = MistralConfig(
        vocab_size=len(tokenizer),
        hidden_size=width,
        intermediate_size=4 * width,
        num_hidden_layers=layers,
        num_attention_heads=width // 64,
        num_key_value_heads=2,
        head_dim=64,
        sliding_window=None,
        max_position_embeddings=8192,
        bos_token_id=0,
        eos_token_id=1,
        tie_word_embeddings=False,
    )
    model = MistralForCausalLM(config)
    with torch.no_grad():
        model.lm_head.weight[1] = 0.0
    model.save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    texts = [tokenizer.apply_chat_template(list(one.messages), tokenize=False) for one in asked]
    return [len(tokenizer(text, add_special_tokens=False).input_ids) for text in texts]


if __name__ == "__main__":
    run(main, parser())
