"""How the next token is drawn: the library's own filters, and chance that belongs to each row alone."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from transformers import (
    LogitsProcessor,
    LogitsProcessorList,
    TemperatureLogitsWarper,
    TopKLogitsWarper,
    TopPLogitsWarper,
)

from suture.config.generation import Generation


class GumbelNoise(LogitsProcessor):
    """Adds noise to the logits so that the largest one is a draw from their softmax.

    With one generator a row, what is drawn for a row depends neither on the
    others of its batch nor on how many there are: the library's own sampling
    draws all rows from one generator. Source: E. J. Gumbel, Statistical Theory
    of Extreme Values (1954); the "Gumbel-max trick".

    Args:
        seeds: one a row.
    """

    def __init__(self, seeds: Sequence[int]) -> None:
        self._generators = [torch.Generator().manual_seed(seed) for seed in seeds]

    def __call__(self, input_ids: torch.Tensor, scores: torch.Tensor) -> torch.Tensor:
        """Returns the noisy logits, [rows, vocabulary]."""
        noise = torch.stack([torch.empty(scores.shape[1]).exponential_(generator=g) for g in self._generators])
        # The negative logarithm of an exponential draw is a Gumbel draw.
        return scores - noise.log().to(scores.device)


def processors(generation: Generation, seeds: Sequence[int]) -> LogitsProcessorList:
    """Returns what turns the logits of a step into a draw by taking the largest; empty where answers are greedy.

    Args:
        generation: the settings; the repetition penalty is the library's own and not among these.
        seeds: one a row.
    """
    found: list[Any] = []
    if generation.temperature > 0:
        found.append(TemperatureLogitsWarper(generation.temperature))
        if generation.top_k:
            found.append(TopKLogitsWarper(generation.top_k))
        if generation.top_p < 1:
            found.append(TopPLogitsWarper(generation.top_p))
        found.append(GumbelNoise(seeds))
    return LogitsProcessorList(found)
