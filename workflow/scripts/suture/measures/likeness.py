"""BLEU and ROUGE-L of all rows: what open answers and reports share."""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache

from suture.measures import text
from suture.tasks.base import Measure, Row, mean_measure

_LONGEST = 4


@lru_cache(maxsize=1 << 18)
def _likeness(said: str, gold: str) -> tuple[float, ...]:
    """Returns BLEU-1 to 4 and ROUGE-L. Rows come again in breakdowns, and templates repeat."""
    bleu = text.bleu(text.bleu_words(said), text.bleu_words(gold), _LONGEST)
    return (*bleu, text.rouge_l(text.rouge_words(said), text.rouge_words(gold)))


def word_measures(rows: Sequence[Row], n_units: int) -> list[Measure]:
    """Gives ``bleu_1`` to ``bleu_4`` and ``rouge_l``."""
    found = [_likeness(row.prediction, row.answer) for row in rows]
    keys = [*((f"bleu_{n}", text.BLEU.format(n=n)) for n in range(1, _LONGEST + 1)), ("rouge_l", text.ROUGE_L)]
    return [
        mean_measure(key, definition, rows, [one[place] for one in found], n_units)
        for place, (key, definition) in enumerate(keys)
    ]
