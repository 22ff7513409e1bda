"""Answers chosen from a closed set: the likeliest of all choices, each scored exactly.

A choice's score is the log-probability of its tokens after the question, with
that of the token that ends an answer unless ``score_end`` is off: without it,
``clip`` would always beat ``clipper`` where one's tokens begin the other's.
``sum`` is the log-probability itself, which is lower the longer a choice is;
``mean`` divides it by the number of tokens that were counted.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from suture.errors import InputError
from suture.models.base import Batch, Reply, VideoModel
from suture.predicted import read_labels
from suture.records import Turn

if TYPE_CHECKING:
    from suture.choice_tree import Tree

Normalisation = Literal["sum", "mean"]

DIGITS = 6
"""Decimals of a score that are kept: beyond them is rounding, which the other questions of a batch change."""


@dataclass(frozen=True, kw_only=True)
class ClosedSet:
    """The choices in their official order, and how they are scored."""

    choices: tuple[str, ...]
    normalisation: Normalisation = "sum"
    score_end: bool = True


def read(path: Path, *, normalisation: Normalisation, score_end: bool) -> ClosedSet:
    """Reads choices: a JSON list of texts, or one a line.

    Raises:
        InputError: fewer than two, or one that is empty or there twice.
    """
    return ClosedSet(choices=read_labels(path), normalisation=normalisation, score_end=score_end)


class Chooser:
    """Answers questions with the likeliest choice.

    Args:
        model: the model.
        closed: the choices.
    """

    def __init__(self, model: VideoModel, closed: ClosedSet) -> None:
        self._model = model
        self._closed = closed
        self._tokens: list[tuple[int, ...]] = []
        self._tree: Tree | None = None

    def longest(self, turns: Sequence[Turn]) -> int:
        """Returns the tokens of the longest choice with what ends it, as an answer to the last question.

        Raises:
            InputError: two choices are the same to the model, or after this question their tokens are others than
                after earlier ones.
        """
        if not self._tokens:
            tokens = [self._model.answer_tokens(turns, choice) for choice in self._closed.choices]
            of = dict(zip(tokens, self._closed.choices, strict=True))
            for choice, same in zip(self._closed.choices, tokens, strict=True):
                if of[same] != choice:
                    raise InputError(f"choices {choice!r} and {of[same]!r} have the same tokens", fix="leave one out")
            self._tokens = tokens
        # One choice stands for all: what decides on tokens is what stands right before an answer.
        elif self._model.answer_tokens(turns, self._closed.choices[0]) != self._tokens[0]:
            raise InputError(
                f"the choice {self._closed.choices[0]!r} has other tokens after this question than after earlier ones",
                where=turns[-1].question,
                fix="a chat template must end a question in the same way each time",
            )
        return max(map(len, self._tokens))

    def answer(self, batch: Batch) -> list[Reply]:
        """Returns the likeliest choice with the scores of all, one reply a row.

        Of choices with equal scores it is the first. ``batch`` is of
        questions that :meth:`longest` has seen.
        """
        # Not before: it imports torch.
        from suture.choice_tree import plant

        self._tree = self._tree or plant([t if self._closed.score_end else t[:-1] for t in self._tokens])
        counts = [len(path) if self._closed.normalisation == "mean" else 1 for path in self._tree.paths]
        replies = []
        for row in self._model.score(batch, self._tree).tolist():
            pairs = zip(self._closed.choices, row, counts, strict=True)
            scores = {choice: round(value / count, DIGITS) for choice, value, count in pairs}
            replies.append(Reply(text=max(scores, key=scores.__getitem__), truncated=False, scores=scores))
        return replies
