"""Choices scored together, against one forward pass a choice; on decoders of several classes, without a family."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pytest

from suture import libraries

libraries.prepare(threads=1)

import torch  # noqa: E402
from transformers import (  # noqa: E402
    GPT2Config,
    GPT2LMHeadModel,
    LlamaConfig,
    LlamaForCausalLM,
    MistralConfig,
    MistralForCausalLM,
    OPTConfig,
    OPTForCausalLM,
    PretrainedConfig,
    Qwen2Config,
    Qwen2ForCausalLM,
    set_seed,
)

from suture.choice_tree import Way, plant, score  # noqa: E402

WORDS = 50
# Some begin alike, (7, 8) begins others, one token is a choice of its own, one comes twice in a row.
ANSWERS = ((7, 8, 1), (7, 8, 9, 1), (7, 8, 9, 10, 11, 1), (7, 12, 1), (13, 1), (1,), (14, 14, 14, 1), (7, 8))
PROMPTS = ([3, 4, 5, 6, 20, 21], [30, 31], [40, 41, 42, 43, 44, 45, 46, 47, 48, 49, 20, 21])

SMALL: dict[str, Any] = {
    "vocab_size": WORDS,
    "hidden_size": 32,
    "intermediate_size": 64,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "initializer_range": 0.3,
}
WINDOW = 6  # fewer tokens than a prompt has


def of_class(name: str) -> tuple[Any, PretrainedConfig]:
    match name:
        case "gpt2":
            return GPT2LMHeadModel, GPT2Config(
                vocab_size=WORDS, n_embd=32, n_layer=2, n_head=4, n_positions=64, initializer_range=0.3
            )
        case "opt":
            return OPTForCausalLM, OPTConfig(
                vocab_size=WORDS,
                hidden_size=32,
                ffn_dim=64,
                num_hidden_layers=2,
                num_attention_heads=4,
                max_position_embeddings=64,
                word_embed_proj_dim=32,
                init_std=0.3,
            )
        case "mistral, sliding":
            return MistralForCausalLM, MistralConfig(**SMALL, num_key_value_heads=2, sliding_window=WINDOW)
        case "qwen2, half sliding":
            return Qwen2ForCausalLM, Qwen2Config(
                **SMALL, num_key_value_heads=2, use_sliding_window=True, sliding_window=WINDOW, max_window_layers=1
            )
    return LlamaForCausalLM, LlamaConfig(**SMALL, num_key_value_heads=2)


def build(name: str, attention: str = "sdpa") -> Any:
    kind, config = of_class(name)
    set_seed(0)
    model = kind._from_config(config, attn_implementation=attention).eval()
    assert model.config._attn_implementation == attention
    return model


def padded(prompts: Sequence[Sequence[int]]) -> dict[str, torch.Tensor]:
    longest = max(map(len, prompts))
    return {
        "input_ids": torch.tensor([[0] * (longest - len(p)) + list(p) for p in prompts]),
        "attention_mask": torch.tensor([[0] * (longest - len(p)) + [1] * len(p) for p in prompts]),
    }


@torch.inference_mode()
def one_pass_a_choice(model: Any, prompts: Sequence[Sequence[int]], answers: Sequence[Sequence[int]]) -> torch.Tensor:
    found = []
    for prompt in prompts:
        for answer in answers:
            said = model(input_ids=torch.tensor([[*prompt, *answer]])).logits[0].log_softmax(dim=-1)
            found.append(sum(float(said[len(prompt) + at - 1, token]) for at, token in enumerate(answer)))
    return torch.tensor(found).view(len(prompts), len(answers))


NAMES = ["gpt2", "opt", "llama", "mistral, sliding", "qwen2, half sliding"]


@pytest.mark.parametrize("attention", ["sdpa", "eager"])
@pytest.mark.parametrize("name", NAMES)
def test_scores_are_those_of_one_pass_a_choice(name: str, attention: str) -> None:
    model = build(name, attention)
    alone = one_pass_a_choice(model, PROMPTS, ANSWERS)
    together = score(model, padded(PROMPTS), plant(ANSWERS))
    assert (together - alone).abs().max() < 1e-5
    assert alone.std() > 0.5  # and they are not all alike


@pytest.mark.parametrize("way", ["tree", "rows"])
def test_both_ways_to_run_the_answers_give_the_same(way: Way, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("suture.choice_tree.ROWS_AT_ONCE", 10)  # three answers a pass: the last pass has two
    model = build("llama")
    found = score(model, padded(PROMPTS), plant(ANSWERS), way=way)
    assert (found - one_pass_a_choice(model, PROMPTS, ANSWERS)).abs().max() < 1e-5


def test_the_answers_together_cost_one_short_pass() -> None:
    model, widths = build("llama"), []
    hook = model.model.register_forward_pre_hook(
        lambda _m, _a, given: widths.append(tuple(given["input_ids"].shape)), with_kwargs=True
    )
    try:
        score(model, padded(PROMPTS), plant(ANSWERS))
        # 7, 78, 789, 78910, 7891011, 712, 13, 14, 1414, 141414: what nothing follows is not run.
        assert widths == [(3, 12), (3, 10)]
        widths.clear()
        score(model, padded(PROMPTS), plant([(7,), (8,), (9,)]))
        assert widths == [(3, 12)]
    finally:
        hook.remove()


def test_a_prompt_may_be_embeddings() -> None:
    # As of families that put a picture's rows before the text themselves.
    model, ids = build("opt"), padded(PROMPTS)
    embedded = {
        "inputs_embeds": model.get_input_embeddings()(ids["input_ids"]),
        "attention_mask": ids["attention_mask"],
    }
    found = score(model, embedded, plant(ANSWERS))
    assert (found - one_pass_a_choice(model, PROMPTS, ANSWERS)).abs().max() < 1e-5


def test_the_probabilities_of_all_ways_to_go_on_sum_to_one() -> None:
    model = build("gpt2")
    pairs = [(first, second) for first in range(WORDS) for second in range(WORDS)]
    found = score(model, padded(PROMPTS[:1]), plant(pairs))
    assert found.exp().sum().item() == pytest.approx(1, abs=1e-5)


@pytest.mark.parametrize("answers", [[], [(7,), ()], [(7, 8), (7, 8)]])
def test_no_empty_and_no_equal_answers(answers: list[tuple[int, ...]]) -> None:
    with pytest.raises(ValueError, match="not empty, and differ"):
        plant(answers)


def test_starts_in_common_are_there_once() -> None:
    tree = plant([(7, 8), (7, 9), (7,)])
    assert (tree.tokens, tree.parents, tree.depths) == ((7, 8, 9), (-1, 0, 0), (0, 1, 1))
    assert tree.paths == ((0, 1), (0, 2), (0,))
