"""How the next token is drawn: the library's own filters, and chance that belongs to each row alone."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from transformers import (
    LogitsProcessor,
    LogitsProcessorList,
    RepetitionPenaltyLogitsProcessor,
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
        """Returns the noisy logits, [rows, vocabulary].

        Raises:
            ValueError: there is not one seed for each row.
        """
        if len(self._generators) != len(scores):
            raise ValueError(f"{len(self._generators)} seeds for {len(scores)} rows")
        noise = torch.stack([torch.empty(scores.shape[1]).exponential_(generator=g) for g in self._generators])
        # The negative logarithm of an exponential draw is a Gumbel draw.
        return scores - noise.log().to(scores.device)


def processors(
    generation: Generation, seeds: Sequence[int], padding: torch.Tensor | None = None
) -> LogitsProcessorList:
    """Returns what turns the logits of a step into an answer's next token by taking the largest.

    The order is the library's: penalty, temperature, top k, top p, draw.

    Args:
        generation: the settings.
        seeds: one a row; not read where answers are greedy.
        padding: tokens of padding at the left of each row, [rows]. The penalty counts all words of a prompt, as the
            library's does, but not these: otherwise a row's answer would depend on the longest of its batch.
            None: there is none.
    """
    found: list[Any] = []
    if generation.repetition_penalty != 1:
        ignored: Any = padding  # one a row; the library's signature knows only one for all
        found.append(RepetitionPenaltyLogitsProcessor(generation.repetition_penalty, prompt_ignore_length=ignored))
    if generation.temperature > 0:
        found.append(TemperatureLogitsWarper(generation.temperature))
        if generation.top_k:
            found.append(TopKLogitsWarper(generation.top_k))
        if generation.top_p < 1:
            found.append(TopPLogitsWarper(generation.top_p))
        found.append(GumbelNoise(seeds))
    return LogitsProcessorList(found)
