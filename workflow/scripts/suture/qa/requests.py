"""A request to a language model, named by the digest of all that its reply depends on."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from suture.config.qa import LLM
from suture.files import sha256_text
from suture.qa import schema
from suture.qa.base import Facts
from suture.qa.prompting import Message, Prompts

STOP = "stop"
LENGTH = "length"
FILTERED = "content_filter"
FAILED = "error"


@dataclass(frozen=True)
class Request:
    """One prompt. ``id`` is the digest of (model revision, prompt, schema, sampling, facts)."""

    id: str
    clip: str
    attempt: int
    messages: tuple[Message, ...]
    schema: dict[str, Any]
    seed: int


@dataclass(frozen=True)
class Reply:
    """What came back for a request.

    ``finish`` is the model's reason to end: stop, length (cut off at the token
    cap), content_filter; or error, where no reply could be had: ``text`` then
    says why. Tokens are 0 where a server does not count them.
    """

    id: str
    text: str
    finish: str
    prompt_tokens: int = 0
    completion_tokens: int = 0


def make(
    facts: Facts,
    kinds: Sequence[str],
    prompts: Prompts,
    llm: LLM,
    revision: str,
    *,
    attempt: int = 0,
    reasons: Sequence[str] = (),
) -> Request:
    """Makes the request about one clip.

    Args:
        facts: what the annotation says of it.
        kinds: the pairs that are asked for.
        prompts: the templates.
        llm: the model and how it is sampled.
        revision: commit or content digest of the model.
        attempt: 0, 1, ...; moves the seed.
        reasons: why the attempt before was refused.
    """
    messages = prompts.messages(facts, kinds, reasons)
    wanted = schema.of(facts, kinds)
    seed = int(sha256_text(f"{llm.seed}/{facts.clip}/{attempt}")[:8], 16) % 2**31
    content = {
        "model": [llm.model.rstrip("/").rsplit("/", 1)[-1], revision],
        "messages": messages,
        "schema": wanted if llm.structured_output else None,
        "sampling": {**sampling(llm), "seed": seed, "attempt": attempt},
        "facts": dataclasses.asdict(facts),
    }
    name = sha256_text(json.dumps(content, sort_keys=True, ensure_ascii=False))
    return Request(name, facts.clip, attempt, messages, wanted, seed)


def sampling(llm: LLM) -> dict[str, Any]:
    """Returns how replies are drawn."""
    return {name: getattr(llm, name) for name in ("max_new_tokens", "temperature", "top_p", "repetition_penalty")}
