"""Rows of instruction data in any of the published spellings, as questions and answers about one image.

LLaVA and ShareGPT: ``{"id", "image", "conversations": [{"from", "value"}]}``;
the key is also spelt ``conversatons``. Chat: ``{"messages": [{"role",
"content"}], "images": [...]}``. LLaVA-Med's qa50: ``{"question_id", "image",
"text", "gpt4_answer", "type", "domain"}``.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from suture import files
from suture.records import Turn

SPEAKERS = {
    "human": "user",
    "user": "user",
    "gpt": "assistant",
    "report": "assistant",
    "assistant": "assistant",
    "model": "assistant",
    "bot": "assistant",
    "system": "system",
}
"""Who a message is from, in all spellings: LLaVA's ``gpt`` is LLaVa-med-report's ``report``."""

KIND = "question"
_CONVERSATIONS = ("conversations", "conversatons", "messages")
_OWNER = ("patient", "patient_id", "subject_id", "case", "study_id")
_PLACEHOLDER = re.compile(r"\s*<image>\s*")
_FIRST_KEY = re.compile(r"\{\s*(\"[^\"]*\")")


@dataclass(frozen=True, kw_only=True)
class Asked:
    """One usable row. ``index`` counts all rows of its file from 0; ``owner`` is '' where the row names none."""

    index: int
    id: str
    image: str
    beside: tuple[str, ...]
    owner: str
    label: str
    turns: tuple[Turn, ...]


@dataclass(frozen=True, kw_only=True)
class Unusable:
    """A row that is left out, and why. ``image`` is '' where it names none."""

    index: int
    reason: str
    detail: str
    image: str = ""


def read(path: Path) -> list[Asked | Unusable]:
    """Reads a .json or .jsonl file; a row that cannot be read is one Unusable, the rest is read.

    Raises:
        InputError: the file is missing or not UTF-8.
    """
    text = files.read_text(path)
    values = _array(text) if text.lstrip().startswith("[") else _lines(text)
    return [row(index, value) for index, value in enumerate(values)]


def row(index: int, value: Any) -> Asked | Unusable:
    """Reads one row, whatever its spelling."""
    if isinstance(value, json.JSONDecodeError):
        return Unusable(index=index, reason="corrupt_row", detail=f"not JSON: {value.msg}")
    if not isinstance(value, dict):
        return Unusable(index=index, reason="corrupt_row", detail=f"a {type(value).__name__}, not an object")
    images = _images(value)
    first = images[0] if images else ""
    if "gpt4_answer" in value:
        turns: tuple[Turn, ...] | str = _qa50(value)
    else:
        key = next((key for key in _CONVERSATIONS if key in value), None)
        turns = "no conversation" if key is None else _turns(value[key])
    if isinstance(turns, str):
        return Unusable(index=index, reason="corrupt_row", detail=turns, image=first)
    if not images:
        return Unusable(index=index, reason="no_image", detail="no image: nothing is to be seen")
    named = next((value[key] for key in ("id", "question_id") if value.get(key) is not None), index)
    owner = next((str(value[key]) for key in _OWNER if value.get(key) is not None), "")
    return Asked(
        index=index,
        id=str(named),
        image=first,
        beside=tuple(images[1:]),
        owner=owner,
        label=_label(value),
        turns=turns,
    )


def _label(value: dict[str, Any]) -> str:
    domain = value.get("domain")
    if isinstance(domain, dict):
        return next((str(name) for name, here in domain.items() if here), "")
    return str(domain or value.get("view") or "")


def _images(value: dict[str, Any]) -> list[str]:
    found = value.get("image") or value.get("images") or []
    listed = [found] if isinstance(found, str | dict) else found if isinstance(found, list) else []
    names = [one.get("path") or one.get("url") if isinstance(one, dict) else one for one in listed]
    return [name for name in names if isinstance(name, str) and name.strip()]


def _qa50(value: dict[str, Any]) -> tuple[Turn, ...] | str:
    question, answer = (_said(value.get(key)) for key in ("text", "gpt4_answer"))
    if not question or not answer:
        return "no text or no gpt4_answer"
    return (Turn(question=question, answer=answer, kind=str(value.get("type") or KIND)),)


def _turns(messages: Any) -> tuple[Turn, ...] | str:
    """Reads a conversation; a text says what is wrong with it."""
    if not isinstance(messages, list) or not messages:
        return "the conversation is no list of messages"
    turns: list[Turn] = []
    question = ""
    for number, message in enumerate(messages):
        if not isinstance(message, dict):
            return f"message {number} is no object"
        name = message.get("from", message.get("role"))
        speaker = SPEAKERS.get(str(name).lower())
        said = _said(message.get("value", message.get("content")))
        if speaker is None:
            return f"message {number} is from {name!r}; known are {', '.join(SPEAKERS)}"
        if speaker == "system":
            continue
        if not said:
            return f"message {number} is empty"
        if (speaker == "user") == bool(question):
            return f"message {number} is the {speaker}'s: questions and answers must take turns"
        if speaker == "user":
            question = said
        else:
            turns.append(Turn(question=question, answer=said, kind=KIND))
            question = ""
    if question or not turns:
        return "the last question has no answer"
    return tuple(turns)


def _said(content: Any) -> str:
    """Returns what a message says, without the mark where an image stands."""
    if isinstance(content, list):
        texts = [part.get("text") for part in content if isinstance(part, dict) and part.get("type") == "text"]
        content = "\n".join(text for text in texts if isinstance(text, str))
    if isinstance(content, int | float) and not isinstance(content, bool):
        content = str(content)  # LLaVA's own reader takes numbers too
    return _PLACEHOLDER.sub("\n", content).strip() if isinstance(content, str) else ""


def _lines(text: str) -> Iterator[Any]:
    for line in text.split("\n"):
        if line.strip():
            try:
                yield json.loads(line)
            except json.JSONDecodeError as error:
                yield error


def _array(text: str) -> Iterator[Any]:
    """Yields the elements of a JSON list; behind a broken one reading goes on where the next row begins.

    A row begins with the key that the first one begins with, which messages inside of rows do not.
    """
    decoder, at = json.JSONDecoder(), text.index("[") + 1
    key = _FIRST_KEY.search(text)
    next_row = re.compile(r"\}\s*,\s*(?=\{\s*" + re.escape(key[1]) + r"\s*:)") if key else None
    while True:
        at = _behind(text, at)
        if at >= len(text) or text[at] == "]":
            return
        try:
            value, at = decoder.raw_decode(text, at)
            yield value
        except json.JSONDecodeError as error:
            yield error
            following = next_row.search(text, at + 1) if next_row else None
            if following is None:
                return
            at = following.end()


def _behind(text: str, at: int) -> int:
    while at < len(text) and text[at] in " \t\r\n,":
        at += 1
    return at
