"""How likely each of many answers is, exactly, with the prompt computed once.

The answers of a closed set begin alike: their tokens make a tree whose root is
the end of the prompt. The prompt runs once and leaves its keys and values; one
more pass runs the whole tree, where a mask lets each token see the prompt and
its own ancestors only. Each answer gets the log-probability that a pass of its
own would give it.

Where the attention takes no mask of that kind (flash attention), or layers see
only the last tokens (a sliding window), the answers run as rows of their own
behind copies of those keys and values.

Everything here works on any decoder of the library; what is a family's own is
in its inputs and positions.
"""

from __future__ import annotations

import copy
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any, Literal

import torch
from transformers import DynamicCache

TREE_ATTENTIONS = frozenset({"eager", "sdpa"})
"""Attentions of the library that take a mask [rows, 1, queries, keys]."""

ROWS_AT_ONCE = 64
"""Rows of a pass that has a row for each answer: each has its own copy of the prompt's keys and values."""

Way = Literal["tree", "rows"]


@dataclass(frozen=True, kw_only=True)
class Tree:
    """The tokens of all answers; those that begin alike are there once.

    Attributes:
        tokens: of the nodes; parents come before their children.
        parents: number of each node's parent, -1 for the prompt's end.
        depths: of the nodes, 0 for an answer's first token.
        paths: numbers of the nodes of each answer, from its first token to its last.
    """

    tokens: tuple[int, ...]
    parents: tuple[int, ...]
    depths: tuple[int, ...]
    paths: tuple[tuple[int, ...], ...]


def plant(answers: Sequence[Sequence[int]]) -> Tree:
    """Makes the tree of answers, each a row of tokens.

    Raises:
        ValueError: there is no answer, one has no token, or two are the same.
    """
    if not answers or not all(answers) or len({tuple(answer) for answer in answers}) < len(answers):
        raise ValueError("answers are not empty, and differ from each other")
    numbers: dict[tuple[int, ...], int] = {}
    parents, paths = [], []
    for answer in answers:
        path = []
        for length in range(1, len(answer) + 1):
            start = tuple(answer[:length])
            if start not in numbers:
                numbers[start] = len(numbers)
                parents.append(numbers.get(start[:-1], -1))
            path.append(numbers[start])
        paths.append(tuple(path))
    return Tree(
        tokens=tuple(start[-1] for start in numbers),
        parents=tuple(parents),
        depths=tuple(len(start) - 1 for start in numbers),
        paths=tuple(paths),
    )


def text_positions(attention_mask: torch.Tensor) -> torch.Tensor:
    """Returns positions [rows, tokens] that count from each row's first token that is no padding."""
    return (attention_mask.long().cumsum(dim=-1) - 1).clamp(min=0)


@torch.inference_mode()
def score(
    model: Any,
    prompts: Mapping[str, Any],
    tree: Tree,
    *,
    beside: Mapping[str, Any] = MappingProxyType({}),
    way: Way | None = None,
) -> torch.Tensor:
    """Returns the summed log-probabilities of the answers' tokens after each prompt, [rows, answers], float64.

    Args:
        model: a causal decoder of the library, also one that reads media, perhaps wrapped in adapters; in
            evaluation mode.
        prompts: its inputs, padded left, with ``attention_mask`` [rows, tokens] and ``position_ids``
            [..., rows, tokens]; positions go on from a prompt's last token by one a token. Without
            ``position_ids`` they are those of :func:`text_positions`.
        tree: of the answers.
        beside: what the model asks for beside the tokens of answers, which come with no media.
        way: to run them; None: as a tree where attention and layers allow it.
    """
    inputs = {"position_ids": text_positions(prompts["attention_mask"]), **prompts}
    config = model.config.get_text_config(decoder=True)
    cache = DynamicCache(config=config)
    start = model(**inputs, past_key_values=cache, use_cache=True, logits_to_keep=1).logits[:, -1:]
    behind = _Behind(inputs["attention_mask"], inputs["position_ids"][..., -1:] + 1, beside)
    if way is None:
        as_tree = config._attn_implementation in TREE_ATTENTIONS and not any(cache.is_sliding)
        way = "tree" if as_tree else "rows"
    run = _run_tree if way == "tree" else _run_rows
    return run(model, cache, behind, start, tree)


@dataclass(frozen=True)
class _Behind:
    """What comes behind prompts.

    Attributes:
        mask: of the prompts, [rows, tokens].
        next: position of the next token, [..., rows, 1].
        beside: what the model takes beside tokens.
    """

    mask: torch.Tensor
    next: torch.Tensor
    beside: Mapping[str, Any]


def _run_tree(model: Any, cache: Any, behind: _Behind, start: torch.Tensor, tree: Tree) -> torch.Tensor:
    # A token that nothing follows need not run: what it would say is not asked for.
    inner = sorted({parent for parent in tree.parents if parent >= 0})
    parts = [start]
    if inner:
        device = start.device
        depths = torch.tensor([tree.depths[node] for node in inner], device=device)
        rows = len(behind.mask)
        out = model(
            input_ids=torch.tensor([[tree.tokens[node] for node in inner]], device=device).expand(rows, -1),
            attention_mask=_tree_mask(behind.mask, sees(tree, inner).to(device), model),
            position_ids=behind.next + depths,
            past_key_values=cache,
            use_cache=True,
            **behind.beside,
        )
        parts.append(out.logits)
    # Place 0 is the prompt's end; the log-probability of a node is read where its parent is.
    place = {-1: 0, **{node: number for number, node in enumerate(inner, start=1)}}
    where = torch.tensor([place[parent] for parent in tree.parents], device=start.device)
    nodes = log_probabilities(parts, where, torch.tensor([tree.tokens], device=start.device))
    return torch.stack([nodes[:, list(path)].sum(dim=1) for path in tree.paths], dim=1)


def sees(tree: Tree, nodes: Sequence[int]) -> torch.Tensor:
    """Returns which node of ``nodes`` sees which: itself and its ancestors, bool [nodes, nodes]."""
    number = {node: at for at, node in enumerate(nodes)}
    sees = torch.eye(len(nodes), dtype=torch.bool)
    for at, node in enumerate(nodes):
        if (parent := tree.parents[node]) >= 0:
            sees[at] |= sees[number[parent]]
    return sees


def _tree_mask(prompt: torch.Tensor, sees: torch.Tensor, model: Any) -> torch.Tensor:
    """Returns which tokens each node sees, [rows, 1, nodes, all], as the model's attention takes it."""
    rows, nodes = len(prompt), len(sees)
    seen = torch.cat([prompt.bool()[:, None].expand(-1, nodes, -1), sees[None].expand(rows, -1, -1)], dim=-1)[:, None]
    if model.config.get_text_config(decoder=True)._attn_implementation == "sdpa":
        return seen
    # Eager attention adds its mask.
    least = torch.finfo(model.dtype).min
    return torch.zeros(seen.shape, dtype=model.dtype, device=prompt.device).masked_fill(~seen, least)


def _run_rows(model: Any, cache: Any, behind: _Behind, start: torch.Tensor, tree: Tree) -> torch.Tensor:
    rows = len(behind.mask)
    at_once = max(1, ROWS_AT_ONCE // rows)
    found = []
    for first in range(0, len(tree.paths), at_once):
        answers = [[tree.tokens[node] for node in path] for path in tree.paths[first : first + at_once]]
        found.append(_rows_of(model, cache, behind, start, answers).view(rows, len(answers)))
    return torch.cat(found, dim=1)


def _rows_of(
    model: Any, cache: Any, behind: _Behind, start: torch.Tensor, answers: Sequence[Sequence[int]]
) -> torch.Tensor:
    """Returns the log-probability of each answer after each prompt, [prompts * answers]: a prompt's stand together."""
    device, rows, many = start.device, len(behind.mask), len(answers)
    longest = max(map(len, answers))
    tokens = torch.tensor([[*answer, *[0] * (longest - len(answer))] for answer in answers], device=device)
    there = torch.tensor([[1] * len(answer) + [0] * (longest - len(answer)) for answer in answers], device=device)
    tokens, there = tokens.repeat(rows, 1), there.repeat(rows, 1)
    parts = [start.repeat_interleave(many, dim=0)]
    if longest > 1:
        copied = copy.deepcopy(cache)
        copied.batch_repeat_interleave(many)
        out = model(
            input_ids=tokens[:, :-1],
            attention_mask=torch.cat(
                [behind.mask.repeat_interleave(many, dim=0), there[:, :-1].to(behind.mask.dtype)], dim=1
            ),
            position_ids=behind.next.repeat_interleave(many, dim=-2) + torch.arange(longest - 1, device=device),
            past_key_values=copied,
            use_cache=True,
            **behind.beside,
        )
        parts.append(out.logits)
    return (log_probabilities(parts, torch.arange(longest, device=device), tokens) * there).sum(dim=1)


def log_probabilities(parts: Sequence[torch.Tensor], places: torch.Tensor, tokens: torch.Tensor) -> torch.Tensor:
    """Returns log-probabilities of ``tokens`` [rows or 1, n] where ``places`` [n] are, [rows, n].

    ``parts`` are logits [rows, places, vocabulary], one behind the other. The
    softmax is in single precision, as the loss, and row by row: that of a whole
    batch would need its memory three times.
    """
    found = []
    for said, *row in zip(tokens.expand(len(parts[0]), -1), *parts, strict=True):
        logits = torch.cat(row).float()
        found.append((logits[places, said] - logits.logsumexp(dim=-1)[places]).double())
    return torch.stack(found)
