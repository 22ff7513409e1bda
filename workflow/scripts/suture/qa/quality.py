"""How good a shard's, or a run's, question-answer pairs are: qa_quality.json.

Counts, the reasons of refusals, examples of what was refused and what stands in
its place, what the model took, and how far the questions alone give the answers
away. It is a summary: no equality is promised of it, and no rule but the report
reads it.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Sequence
from typing import Any

from suture.qa import gate
from suture.qa.writing import Story, Written
from suture.records import Sample

SCHEMA = 1
EXAMPLES = 3
"""Examples kept for each reason."""

_LONGEST = 600
_PRIORS = 5


def of_shard(
    written: Written, *, backend: str, model: str, revision: str, prices: tuple[float, float]
) -> dict[str, Any]:
    """Returns the quality of one shard.

    Args:
        written: its stories.
        backend: the back end's name.
        model: the model's name.
        revision: what names its weights.
        prices: of a million tokens read, and written.
    """
    stories = [story for story in written.stories if story.kinds]
    replies = [reply for story in stories for reply in story.replies]
    asked = sum(one.prompt_tokens for one in replies), sum(one.completion_tokens for one in replies)
    return {
        "schema": SCHEMA,
        "backend": backend,
        "model": model,
        "revision": revision,
        "clips": len(stories),
        "accepted": sum(story.accepted for story in stories),
        "accepted_at_once": sum(story.accepted and not story.problems for story in stories),
        "by_template": sum(story.sample is not None and not story.accepted for story in stories),
        "rejected": sum(story.sample is None for story in stories),
        "replies": len(replies),
        "refused_replies": sum(len(story.problems) for story in stories),
        "reasons": _reasons(stories),
        "examples": _examples(stories),
        "prompt_tokens": asked[0],
        "completion_tokens": asked[1],
        "cost": (asked[0] * prices[0] + asked[1] * prices[1]) / 1e6,
        "this_run": {
            "replies": written.asked,
            "seconds": round(written.seconds, 3),
            "completion_tokens": written.completion_tokens,
            "completion_tokens_per_second": _rate(written.completion_tokens, written.seconds),
            "replies_per_second": _rate(written.asked, written.seconds),
        },
    }


def merge(shards: Sequence[dict[str, Any]], samples: Sequence[Sample]) -> dict[str, Any]:
    """Returns the quality of a run: its shards' sums, and what only all samples together tell.

    Args:
        shards: of :func:`of_shard`; may be empty, for a back end without a model.
        samples: of all shards.
    """
    added = ("clips", "accepted", "accepted_at_once", "by_template", "rejected", "replies", "refused_replies")
    merged: dict[str, Any] = {"schema": SCHEMA}
    if shards:
        merged |= {key: sorted({shard[key] for shard in shards}) for key in ("backend", "model", "revision")}
        merged |= {key: sum(shard[key] for shard in shards) for key in (*added, "prompt_tokens", "completion_tokens")}
        merged["cost"] = sum(shard["cost"] for shard in shards)
        reasons: Counter[str] = Counter()
        for shard in shards:
            reasons.update(shard["reasons"])
        merged["reasons"] = dict(sorted(reasons.items()))
        examples: dict[str, list[Any]] = {}
        for shard in shards:
            for reason, found in shard["examples"].items():
                examples[reason] = (examples.get(reason, []) + found)[:EXAMPLES]
        merged["examples"] = dict(sorted(examples.items()))
        runs = [shard["this_run"] for shard in shards]
        sums = {key: sum(run[key] for run in runs) for key in ("replies", "seconds", "completion_tokens")}
        merged["this_run"] = {
            **sums,
            "completion_tokens_per_second": _rate(sums["completion_tokens"], sums["seconds"]),
            "replies_per_second": _rate(sums["replies"], sums["seconds"]),
        }
    return merged | {"samples": len(samples), "variety": variety(samples)}


def variety(samples: Iterable[Sample]) -> dict[str, Any]:
    """Returns, by kind, how varied questions and answers are, and what the question alone gives away.

    ``question_only_accuracy`` is the share of answers that are the most frequent
    one to their very question, word for word: what can be scored without a look
    at the video. It is told from the same samples, so few samples of many
    wordings make it high. ``near_duplicate_questions`` is the share of questions
    of which an earlier sample has one that is the same but for case and
    punctuation, and ``distinct_questions`` how many of them differ.
    """
    turns: dict[str, list[tuple[str, str]]] = {}
    for sample in samples:
        for turn in sample.turns:
            turns.setdefault(turn.kind, []).append((turn.question, turn.answer))
    found = {}
    for kind, pairs in sorted(turns.items()):
        by_question: dict[str, Counter[str]] = {}
        for question, answer in pairs:
            by_question.setdefault(_normal(question), Counter())[_normal(answer)] += 1
        answers = Counter(_normal(answer) for _, answer in pairs)
        found[kind] = {
            "pairs": len(pairs),
            "distinct_questions": len(by_question),
            "near_duplicate_questions": 1 - _clusters(list(by_question)) / len(pairs),
            "distinct_answers": len(answers),
            "majority_accuracy": answers.most_common(1)[0][1] / len(pairs),
            "question_only_accuracy": sum(max(one.values()) for one in by_question.values()) / len(pairs),
            "most_frequent_answers": [
                {"answer": answer, "share": count / len(pairs)}
                for answer, count in sorted(answers.items(), key=lambda item: (-item[1], item[0]))[:_PRIORS]
            ],
        }
    return found


def _clusters(questions: list[str]) -> int:
    """Counts questions that are not nearly one of those before them."""
    kept: list[str] = []
    for question in sorted(questions):
        if not any(gate.overlap(question, one) >= gate.NEAR for one in kept):
            kept.append(question)
    return len(kept)


def _normal(text: str) -> str:
    return " ".join(re.findall(r"[^\W_]+", text.casefold()))


def _reasons(stories: Sequence[Story]) -> dict[str, int]:
    """Counts refused replies by reason; a reply with several counts under each of them, once."""
    counts = Counter(reason for story in stories for one in story.problems for reason in {p.reason for p in one})
    return dict(sorted(counts.items()))


def _examples(stories: Sequence[Story]) -> dict[str, list[dict[str, Any]]]:
    """Returns, for each reason, some replies that it refused and what stands there now."""
    found: dict[str, list[dict[str, Any]]] = {}
    for story in stories:
        refused = story.replies[: len(story.problems)]
        for reply, problems in zip(refused, story.problems, strict=True):
            for problem in {one.reason: one for one in problems}.values():
                examples = found.setdefault(problem.reason, [])
                if len(examples) < EXAMPLES:
                    after = [turn.to_json() for turn in story.sample.turns] if story.sample else None
                    examples.append(
                        {
                            "clip": story.facts.clip,
                            "why": problem.detail,
                            "before": reply.text[:_LONGEST],
                            "after": after,
                            "after_by": story.sample.origin if story.sample else None,
                        }
                    )
    return dict(sorted(found.items()))


def _rate(number: float, seconds: float) -> float | None:
    return round(number / seconds, 3) if seconds > 0 else None
