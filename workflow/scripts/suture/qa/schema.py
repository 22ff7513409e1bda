"""The JSON that a language model is asked for: its schema, and reading it back strictly.

Flat, with fixed keys: that is what the libraries for constrained decoding all
support. The facts come first, as values of which the record allows one; a model
that has just written them words them more reliably.
"""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from typing import Any

from suture.qa.base import Facts
from suture.qa.reasons import Problem

MAX_QUESTION = 200
MAX_ANSWER = 500
"""Longest texts, in characters."""

_FENCE = re.compile(r"\s*```(?:json)?\s*\n(.*?)\n?\s*```\s*", re.DOTALL)
# What a reasoning model thinks aloud before it answers.
_THOUGHT = re.compile(r"\s*<think>.*?</think>", re.DOTALL)
_FACTS = ("phase", "anatomy", "instruments")


def keys(kind: str) -> tuple[str, str]:
    """Returns the keys of a pair's question and answer."""
    return f"{kind}_question", f"{kind}_answer"


def echo(facts: Facts) -> dict[str, Any]:
    """Returns the facts as a reply repeats them."""
    return {"phase": facts.phase, "anatomy": list(facts.anatomy), "instruments": list(facts.instruments)}


def of(facts: Facts, kinds: Sequence[str]) -> dict[str, Any]:
    """Returns the JSON Schema of a reply about one clip."""
    properties: dict[str, Any] = {"phase": {"type": "string", "enum": [facts.phase]}}
    for name, values in (("anatomy", facts.anatomy), ("instruments", facts.instruments)):
        items = {"type": "string", "enum": list(values)} if values else {"type": "string"}
        properties[name] = {"type": "array", "items": items, "minItems": len(values), "maxItems": len(values)}
    for kind in kinds:
        question, answer = keys(kind)
        properties[question] = {"type": "string", "maxLength": MAX_QUESTION}
        properties[answer] = {"type": "string", "maxLength": MAX_ANSWER}
    return {
        "type": "object",
        "properties": properties,
        "required": list(properties),
        "additionalProperties": False,
    }


def parse(text: str, facts: Facts, kinds: Sequence[str]) -> tuple[dict[str, tuple[str, str]], list[Problem]]:
    """Reads a reply: question and answer by kind, and what is wrong with its form.

    A code fence around the object and a reasoning model's thoughts before it are
    allowed: they lose nothing. Nothing else is repaired.
    """
    body = _THOUGHT.sub("", text, count=1)
    fenced = _FENCE.fullmatch(body)
    repeated: list[str] = []

    def unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        found = dict(pairs)
        repeated.extend(sorted({key for key, _ in pairs if [name for name, _ in pairs].count(key) > 1}))
        return found

    try:
        value = json.loads(fenced[1] if fenced else body, object_pairs_hook=unique)
    except (json.JSONDecodeError, RecursionError) as error:
        return {}, [Problem("not_json", "", f"it was not JSON ({error.args[0]})")]
    if not isinstance(value, dict):
        return {}, [Problem("schema", "", "it was not a JSON object")]
    problems = [Problem("repeated_key", "", f"it had {key} twice") for key in repeated]
    wanted = {key for kind in kinds for key in keys(kind)}
    for key in sorted(wanted - set(value)):
        problems.append(Problem("missing_pair", key.rsplit("_", 1)[0], f"it had no {key}"))
    for key in sorted(set(value) - wanted - set(_FACTS)):
        problems.append(Problem("other_pair", "", f"it had {key[:40]!r}, which was not asked for"))
    for key, fact in echo(facts).items():
        if not _same(value.get(key), fact):
            problems.append(Problem("facts_changed", "", f"its {key!r} was not that of the facts"))
    pairs = {}
    for kind in kinds:
        texts = tuple(value.get(key) for key in keys(kind))
        if all(isinstance(one, str) for one in texts):
            pairs[kind] = (" ".join(str(texts[0]).split()), " ".join(str(texts[1]).split()))
        elif None not in texts:
            problems.append(Problem("schema", kind, f"the pair {kind!r} was not two texts"))
    return pairs, problems


def _same(said: Any, fact: str | list[str]) -> bool:
    """Whether a repeated fact is the fact; names may stand in another order."""
    if isinstance(fact, str) or not isinstance(said, list):
        return bool(said == fact)
    return all(isinstance(one, str) for one in said) and sorted(said) == sorted(fact)
