"""Answers about medical images, scored as LLaVA-Med does: open ones by their words, closed ones by containment.

Source: microsoft/LLaVA-Med v1.0.0, llava/eval/run_eval_batch.py and
eval_metrics. A question is closed where its kind says so (``CLOSED``) or the
gold answer is yes or no. Upstream's score by GPT-4 sends texts to others and
is not made: of credentialed data it may not be.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Sequence
from typing import Any

from suture.measures.likeness import word_measures
from suture.tasks import open_vqa
from suture.tasks.base import NOTHING_MORE, Context, Measure, Missing, Row, mean_measure

PIPELINE_TAG = "visual-question-answering"
check = open_vqa.check

_WORDS = "words in lower case without punctuation and articles"
RECALL = f"share of the gold answer's words that the answer has ({_WORDS}), mean over open questions"
F1 = f"F1 of an answer's words against the gold answer's, repeated ones counted ({_WORDS}), mean over open questions"
CONTAINED = f"share of closed questions whose answer contains the gold answer ({_WORDS})"
_NO_WORD = re.compile(r"[^\w\s]")
_ARTICLES = frozenset({"a", "an", "the"})
_JUDGE = "a judgement by a language model elsewhere is no part of Suture"


def words(text: str) -> list[str]:
    """Divides an answer into words, punctuation and articles left out."""
    return [word for word in _NO_WORD.sub(" ", text.lower()).split() if word not in _ARTICLES]


def overlap(said: str, gold: str) -> tuple[float, float]:
    """Returns recall and F1 as upstream's ``calculate_f1score``: a shared word counts as often as it is said."""
    mine, theirs = Counter(words(said)), Counter(words(gold))
    hits = sum(count for word, count in mine.items() if word in theirs)
    missed = sum(count for word, count in theirs.items() if word not in mine)
    extra = sum(count for word, count in mine.items() if word not in theirs)
    if not hits:
        return 0.0, 0.0
    precision, recall = hits / (hits + extra), hits / (hits + missed)
    return recall, 2 * precision * recall / (precision + recall)


def contains(said: str, gold: str) -> bool:
    """Whether the gold answer's words stand in the answer, one behind the other."""
    mine, theirs = words(said), words(gold)
    return any(mine[at : at + len(theirs)] == theirs for at in range(len(mine) - len(theirs) + 1))


def is_closed(row: Row) -> bool:
    """Whether a question has a closed set of answers."""
    return row.kind.upper() == "CLOSED" or words(row.answer) in (["yes"], ["no"])


def measures(rows: Sequence[Row], n_units: int, context: Context = NOTHING_MORE) -> list[Measure | Missing]:
    """Gives ``recall`` and ``f1`` of open questions, ``acc_closed`` of closed ones, and BLEU and ROUGE-L of all."""
    del context
    shut = [row for row in rows if is_closed(row)]
    free = [row for row in rows if not is_closed(row)]
    found: list[Measure | Missing] = []
    if free:
        scores = [overlap(row.prediction, row.answer) for row in free]
        found.append(mean_measure("recall", RECALL, free, [recall for recall, _ in scores], n_units))
        found.append(mean_measure("f1", F1, free, [f1 for _, f1 in scores], n_units))
    else:
        found += [Missing(key=key, reason="no open question") for key in ("recall", "f1")]
    if shut:
        right = [float(contains(row.prediction, row.answer)) for row in shut]
        found.append(mean_measure("acc_closed", CONTAINED, shut, right, n_units))
    else:
        found.append(Missing(key="acc_closed", reason="no closed question"))
    return [*found, *word_measures(rows, n_units), Missing(key="gpt4_score", reason=_JUDGE)]


def tables(rows: Sequence[Row], context: Context = NOTHING_MORE) -> dict[str, Any]:
    """Gives none."""
    del rows, context
    return {}
