"""How good the questions and answers are, as qa_quality.json and a clinician's review tell."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from suture import files
from suture.errors import InputError

GIVEN_AWAY = 0.5
"""Share of answers that the question alone gives away, from which on the page warns."""


@dataclass(frozen=True, kw_only=True)
class Reason:
    """Replies refused for one reason: how many, and as share of the most frequent one."""

    name: str
    count: int
    share: float


@dataclass(frozen=True, kw_only=True)
class Example:
    """A refused reply, why, and what stands there now: (question, answer) pairs, none where the clip was left out."""

    reason: str
    clip: str
    why: str
    before: str
    after: tuple[tuple[str, str], ...]
    after_by: str


@dataclass(frozen=True, kw_only=True)
class Prior:
    """The questions of one kind: how many, how varied, and what they give away without a look at the video."""

    kind: str
    pairs: int
    distinct_questions: int
    distinct_answers: int
    near_duplicates: float
    majority: float
    question_only: float
    answers: tuple[tuple[str, float], ...]

    @property
    def gives_away(self) -> bool:
        """Whether the question alone gives away so much that an accuracy says little."""
        return self.question_only >= GIVEN_AWAY


@dataclass(frozen=True, kw_only=True)
class Quality:
    """qa_quality.json as the page shows it; ``writer`` is None where no language model wrote."""

    samples: int
    priors: tuple[Prior, ...]
    writer: str | None
    counts: tuple[tuple[str, int], ...]
    reasons: tuple[Reason, ...]
    examples: tuple[Example, ...]
    speed: tuple[tuple[str, str], ...]


def read_quality(path: Path, *, with_words: bool) -> Quality:
    """Reads qa_quality.json; without ``with_words`` no question, answer, reply or clip is taken from it.

    Raises:
        InputError: it has not the parts that merge_qa_quality writes.
    """
    read = files.read_json(path)
    try:
        priors = tuple(_prior(kind, one, with_words=with_words) for kind, one in sorted(read["variety"].items()))
        written = "backend" in read
        return Quality(
            samples=int(read["samples"]),
            priors=priors,
            writer=_writer(read) if written else None,
            counts=_counts(read) if written else (),
            reasons=_reasons(read["reasons"]) if written else (),
            examples=_examples(read["examples"]) if written and with_words else (),
            speed=_speed(read) if written else (),
        )
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise InputError(
            f"not a qa_quality.json: {type(error).__name__} {error}",
            where=path,
            fix="make it again with merge_qa_quality.py",
        ) from error


def _prior(kind: str, one: Mapping[str, Any], *, with_words: bool) -> Prior:
    answers = [(str(row["answer"]), float(row["share"])) for row in one["most_frequent_answers"]]
    return Prior(
        kind=kind,
        pairs=int(one["pairs"]),
        distinct_questions=int(one["distinct_questions"]),
        distinct_answers=int(one["distinct_answers"]),
        near_duplicates=float(one["near_duplicate_questions"]),
        majority=float(one["majority_accuracy"]),
        question_only=float(one["question_only_accuracy"]),
        answers=tuple(answers) if with_words else (),
    )


def _writer(read: Mapping[str, Any]) -> str:
    return ", ".join(map(str, read["model"])) + " by " + ", ".join(map(str, read["backend"]))


def _counts(read: Mapping[str, Any]) -> tuple[tuple[str, int], ...]:
    words = {
        "clips": "clips asked about",
        "accepted_at_once": "accepted at once",
        "accepted": "accepted in all",
        "by_template": "worded by the template instead",
        "rejected": "left out",
        "replies": "replies",
        "refused_replies": "replies refused",
    }
    return tuple((said, int(read[key])) for key, said in words.items())


def _reasons(counts: Mapping[str, int]) -> tuple[Reason, ...]:
    most = max(counts.values(), default=1) or 1
    ordered = sorted(counts.items(), key=lambda item: (-item[1], item[0]))
    return tuple(Reason(name=name.replace("_", " "), count=n, share=n / most) for name, n in ordered)


def _examples(found: Mapping[str, Any]) -> tuple[Example, ...]:
    return tuple(
        Example(
            reason=reason.replace("_", " "),
            clip=str(one["clip"]),
            why=str(one["why"]),
            before=str(one["before"]),
            after=tuple((str(turn["question"]), str(turn["answer"])) for turn in one["after"] or ()),
            after_by=str(one["after_by"] or ""),
        )
        for reason, examples in sorted(found.items())
        for one in examples
    )


def _speed(read: Mapping[str, Any]) -> tuple[tuple[str, str], ...]:
    last = read["this_run"]
    found = [
        ("tokens read", f"{read['prompt_tokens']:,}"),
        ("tokens written", f"{read['completion_tokens']:,}"),
    ]
    if last["completion_tokens_per_second"] is not None:
        found.append(("tokens written a second", f"{last['completion_tokens_per_second']:,.1f}"))
        found.append(("replies a second", f"{last['replies_per_second']:,.2f}"))
    if read["cost"]:
        found.append(("cost at the configured prices", f"{read['cost']:,.2f}"))
    return tuple(found)
