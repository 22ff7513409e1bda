"""A small Mistral of the real class, taught in about a minute to write pairs: it knows seven clips and few wordings.

Some of the wordings it learns are wrong, so that the gate has something to refuse.
"""

from __future__ import annotations

import json
import random
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import annotated_clips

SYSTEM = "You write question-answer pairs about a clip."
TEMPLATE = (
    "{{ bos_token }}{% for m in messages %}{% if m['role'] == 'assistant' %} {{ m['content'] }}{{ eos_token }}"
    "{% else %}[INST] {{ m['content'] }} [/INST]{% endif %}{% endfor %}"
)
STEPS = 400
WRONG = 0.2
"""Share of the answers learnt that say what the facts do not."""


def prompts(folder: Path) -> Path:
    """Writes the short prompts that the model is taught with: a folder for ``--prompts``."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "system.txt").write_text(SYSTEM)
    (folder / "styles.txt").write_text("short\n")
    return folder


def wordings(phase: str, anatomy: list[str], instruments: list[str], chance: random.Random) -> dict[str, Any]:
    """Returns one way to word the facts."""
    phase_answer = chance.choice(["The video shows the {} phase.", "The surgeon is performing the {} phase."])
    seen = chance.choice(["The visible structures are the {}.", "One can see the {}."])
    used = chance.choice(["The visible instruments are the {}.", "The surgeon is using the {}."])
    structures = [*anatomy, *(["Iris"] if chance.random() < WRONG else [])]
    tools = [*instruments, *(["Katena Forceps"] if chance.random() < WRONG else [])]
    return {
        "phase": phase,
        "anatomy": anatomy,
        "instruments": instruments,
        "phase_question": chance.choice(["Which phase is shown?", "What phase of the surgery is this?"]),
        "phase_answer": phase_answer.format(phase),
        "anatomy_question": chance.choice(["Which structures are visible?", "What parts of the eye are visible?"]),
        "anatomy_answer": seen.format(" and the ".join(structures)),
        "instruments_question": chance.choice(["Which instruments are visible?", "What tools are in use?"]),
        "instruments_answer": used.format(" and the ".join(tools)) if tools else "No instrument is visible.",
    }


def user(phase: str, anatomy: list[str], instruments: list[str]) -> str:
    """Returns the clip's part of a prompt, as the published template writes it."""
    lines = [f"Phase: {phase}", f"Anatomical structures: {', '.join(anatomy)}"]
    lines += [f"Surgical instruments: {', '.join(instruments) or 'none'}", "Pairs: phase, anatomy, instruments"]
    return "\n".join([*lines, "Style: short"])


def _lessons(chance: random.Random) -> Iterator[tuple[str, str]]:
    while True:
        phase, anatomy, instruments = chance.choice(annotated_clips.STORY)
        facts = phase, anatomy.split(), [name for name in instruments.split(",") if name]
        asked = user(*facts)
        if chance.random() < 0.3:  # as it is asked again
            asked += "\nAn earlier reply was refused: it names what is not in sight. "
            asked += "Write all the pairs again, without that."
        yield asked, json.dumps(wordings(*facts, chance), separators=(",", ":"))


def teach(folder: Path, steps: int = STEPS) -> Path:
    """Makes the model's folder: weights, configuration, tokenizer with a chat template.

    Args:
        folder: to write.
        steps: of training; the same on a busy machine as on a free one.
    """
    import torch
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
    from transformers import MistralConfig, MistralForCausalLM, PreTrainedTokenizerFast

    torch.manual_seed(0)
    chance = random.Random(0)
    lessons = _lessons(chance)
    sample = [text for _ in range(300) for text in next(lessons)]
    raw = Tokenizer(models.BPE())
    raw.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    raw.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=700,
        special_tokens=["<s>", "</s>", "<pad>", "[INST]", "[/INST]"],
        initial_alphabet=sorted(pre_tokenizers.ByteLevel.alphabet()),
        show_progress=False,
    )
    raw.train_from_iterator([SYSTEM, *sample], trainer)
    tokenizer = PreTrainedTokenizerFast(
        tokenizer_object=raw, bos_token="<s>", eos_token="</s>", pad_token="<pad>", chat_template=TEMPLATE
    )
    config = MistralConfig(
        vocab_size=len(tokenizer), hidden_size=128, intermediate_size=256, num_hidden_layers=2, num_attention_heads=4,
        num_key_value_heads=2, head_dim=32, max_position_embeddings=1024, sliding_window=None, pad_token_id=2,
        bos_token_id=0, eos_token_id=1,
    )  # fmt: skip
    model = MistralForCausalLM(config)
    optimiser = torch.optim.AdamW(model.parameters(), lr=3e-3, betas=(0.9, 0.98), weight_decay=0.01)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimiser, 3e-3, total_steps=steps, pct_start=0.1)
    model.train()
    for _ in range(steps):
        rows = [_example(tokenizer, *next(lessons)) for _ in range(8)]
        length = max(len(ids) for ids, _ in rows)
        ids = torch.tensor([row + [2] * (length - len(row)) for row, _ in rows])
        labels = torch.tensor([[-100] * at + row[at:] + [-100] * (length - len(row)) for row, at in rows])
        model(input_ids=ids, attention_mask=(ids != 2).long(), labels=labels).loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimiser.step()
        schedule.step()
        optimiser.zero_grad()
    # `transformers serve` draws where a model's own settings say so, and is greedy otherwise.
    model.generation_config.do_sample = True
    model.save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return folder


def _example(tokenizer: Any, asked: str, answer: str) -> tuple[list[int], int]:
    chat = [{"role": "system", "content": SYSTEM}, {"role": "user", "content": asked}]
    prompt = tokenizer.apply_chat_template(chat, tokenize=False, add_generation_prompt=True)
    whole = tokenizer.apply_chat_template([*chat, {"role": "assistant", "content": answer}], tokenize=False)
    encode = lambda text: tokenizer(text, add_special_tokens=False).input_ids  # noqa: E731
    return encode(whole), len(encode(prompt))
