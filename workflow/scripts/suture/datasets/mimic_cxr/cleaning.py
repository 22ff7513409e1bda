"""What of a report's text a model learns to write, by the name of a way to clean it."""

from __future__ import annotations

import re
from collections.abc import Callable

SHORTEST = 3
"""Words that a report must have, as in MGCA."""

_NUMBERED = re.compile(r"[0-9]+\.")
_ITEM = re.compile(r"(?:(?<=\s)|^)[0-9]{1,2}\.\s+(?=\S)")
_WORD = re.compile(r"\w+")


def mgca(text: str) -> str:
    """Cleans as MGCA does (mgca/datasets/pretrain_dataset.py): words in lower case, divided by full stops.

    All punctuation goes, decimals are torn apart ("2.5 cm" is "5 cm"), and
    sentences of one word are left out. Sentences then begin with a capital and
    end with a full stop, as the published conversations write them. MGCA's cut
    at 112 tokens belongs to its encoder and is not made here.
    """
    sentences = []
    for piece in _NUMBERED.split(text.replace("\n", " ")):
        for sentence in piece.split("."):
            words = _WORD.findall(sentence.replace("\ufffd\ufffd", " ").lower())
            if len(words) > 1:
                plain = [word.encode("ascii", "ignore").decode() for word in words]
                sentences.append(" ".join(word for word in plain if word))
    return " ".join(f"{sentence.capitalize()}." for sentence in sentences if sentence)


def gentle(text: str) -> str:
    """Joins lines and leaves out the numbers of lists; words, numbers, case and punctuation stay."""
    return " ".join(_ITEM.sub("", " ".join(text.split())).split())


CLEANING: dict[str, Callable[[str], str]] = {"mgca": mgca, "gentle": gentle}


def words(text: str) -> int:
    """Counts the words of a text."""
    return len(_WORD.findall(text))
