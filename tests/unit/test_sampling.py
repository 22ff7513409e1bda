"""Draws against the probabilities they are to follow, and against the library's own filters."""

from __future__ import annotations

import pytest
import torch
from transformers import RepetitionPenaltyLogitsProcessor

from suture import sampling
from suture.config.generation import Generation

WORDS = 6
LOGITS = torch.tensor([1.0, 0.5, 0.0, -0.5, -1.5, -3.0])


def drawn(generation: Generation, seeds: list[int], steps: int = 1) -> torch.Tensor:
    """Returns the words of as many rows as seeds, [rows, steps]; each step has the same logits."""
    process = sampling.processors(generation, seeds)
    ids = torch.zeros((len(seeds), 1), dtype=torch.long)
    return torch.stack([process(ids, LOGITS.repeat(len(seeds), 1)).argmax(dim=1) for _ in range(steps)], dim=1)


@pytest.mark.parametrize("along", ["rows", "steps"])
@pytest.mark.parametrize("temperature", [0.6, 1.0])
def test_draws_follow_the_softmax(along: str, temperature: float) -> None:
    n = 4000
    rows, steps = (n, 1) if along == "rows" else (1, n)
    words = drawn(Generation(temperature=temperature), list(range(rows)), steps)
    counts = torch.bincount(words.flatten(), minlength=WORDS).double()
    expected = n * (LOGITS.double() / temperature).softmax(0)
    # Pearson's statistic has 5 degrees of freedom: by chance it is above 25.7 once in 10,000 times.
    assert ((counts - expected) ** 2 / expected).sum() < 25.7


def test_rows_are_drawn_apart() -> None:
    generation = Generation(temperature=1.0)
    together = drawn(generation, [3, 1, 2], steps=50)
    assert torch.equal(together, torch.cat([drawn(generation, [seed], steps=50) for seed in (3, 1, 2)]))
    # Two rows agree no more often than two independent draws, whose words are equal in 24 of 100 cases.
    assert 0.1 < (together[0] == together[1]).double().mean() < 0.4


def test_unlikely_words_are_left_out() -> None:
    assert set(drawn(Generation(temperature=2.0, top_k=2), [0], steps=300).flatten().tolist()) == {0, 1}
    # The first two words have 0.66 of the probability, the first three 0.83.
    assert set(drawn(Generation(temperature=1.0, top_p=0.7), [0], steps=300).flatten().tolist()) == {0, 1, 2}


def test_greedy_answers_are_not_touched() -> None:
    assert len(sampling.processors(Generation(), [0])) == 0


def test_a_penalty_counts_all_words_but_padding() -> None:
    process = sampling.processors(Generation(repetition_penalty=2.0), [0, 0], torch.tensor([0, 2]))
    scores = LOGITS.repeat(2, 1)
    found = process(torch.tensor([[0, 3, 4], [0, 0, 4]]), scores)
    assert found.tolist() == [[0.5, 0.5, 0.0, -1.0, -3.0, -3.0], [1.0, 0.5, 0.0, -0.5, -3.0, -3.0]]
    # A word that is also what rows are padded with counts where it was said.
    assert process(torch.tensor([[0, 3, 4], [0, 0, 0]]), scores)[1, 0] == 0.5
    library = RepetitionPenaltyLogitsProcessor(2.0)
    assert torch.equal(found[:1], library(torch.tensor([[0, 3, 4]]), scores[:1]))


def test_each_row_needs_its_seed() -> None:
    process = sampling.processors(Generation(temperature=1.0), [0])
    with pytest.raises(ValueError, match="1 seeds for 2 rows"):
        process(torch.zeros((2, 1), dtype=torch.long), LOGITS.repeat(2, 1))
