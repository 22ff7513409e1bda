"""How like a text is to another, word by word: BLEU and ROUGE-L."""

from __future__ import annotations

import math
import re
from collections import Counter
from collections.abc import Sequence

BLEU = (
    "sentence BLEU up to {n}-grams of equal weight, one reference, mean over answers; a count of 0 is taken as 0.1 "
    "(Chen & Cherry 2014, method 1), no common word is 0; lower case, words divided by blanks, full stops apart "
    "(as CXR-Report-Metric)"
)
ROUGE_L = (
    "F1 of the longest common subsequence of words, mean over answers (Lin 2004); lower case, words are runs of "
    "letters and digits, no stemming (as the package rouge_score)"
)
_SMALL = 0.1
_WORD = re.compile(r"[^\W_]+")


def bleu_words(text: str) -> list[str]:
    """Divides a text for BLEU."""
    return [word for word in text.lower().replace(".", " .").split() if word]


def bleu(said: Sequence[str], gold: Sequence[str], most: int = 4) -> list[float]:
    """Returns BLEU-1 to BLEU-``most`` of one answer against one reference, both as words.

    Source: Papineni et al. 2002, with method 1 of Chen & Cherry 2014, as in
    fast-bleu and in ``nltk.translate.bleu_score.SmoothingFunction().method1``.
    """
    if not said or not set(said) & set(gold):
        return [0.0] * most
    brevity = min(1.0, math.exp(1 - len(gold) / len(said)))
    found, logs = [], 0.0
    for n in range(1, most + 1):
        mine, theirs = (Counter(zip(*(words[i:] for i in range(n)), strict=False)) for words in (said, gold))
        hits = sum((mine & theirs).values())
        logs += math.log((hits or _SMALL) / max(1, len(said) - n + 1))
        found.append(brevity * math.exp(logs / n))
    return found


def rouge_words(text: str) -> list[str]:
    """Divides a text for ROUGE."""
    return _WORD.findall(text.lower())


def rouge_l(said: Sequence[str], gold: Sequence[str]) -> float:
    """Returns the F1 of the longest common subsequence of two sequences of words."""
    common = longest_common(said, gold)
    return 2 * common / (len(said) + len(gold)) if common else 0.0


def longest_common(one: Sequence[str], other: Sequence[str]) -> int:
    """Returns the length of the longest common subsequence.

    The rows of the usual table are the bits of one number, so that a report of
    hundreds of words costs hundreds of steps (Hyyro 2004, bit-parallel LCS).
    """
    places: dict[str, int] = {}
    for at, word in enumerate(one):
        places[word] = places.get(word, 0) | 1 << at
    full = (1 << len(one)) - 1
    row = full
    for word in other:
        met = row & places.get(word, 0)
        row = ((row + met) | (row - met)) & full
    return len(one) - row.bit_count()
