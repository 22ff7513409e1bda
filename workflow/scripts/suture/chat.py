"""From questions and answers to token ids and labels, by a tokenizer's own chat template.

Labels are found by rendering: the text up to an answer, and the text up to its
end, must both be prefixes of the whole conversation, in characters and in
token ids. That holds or is refused, for any template; nothing is searched for.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from suture.errors import InputError
from suture.records import Turn

IGNORED = -100


@dataclass(frozen=True, kw_only=True)
class Encoded:
    """Token ids of a conversation, and the spans [start, end) of its answers with their end mark."""

    input_ids: tuple[int, ...]
    answers: tuple[tuple[int, int], ...]


def messages(turns: Sequence[Turn], system_prompt: str, *, video: bool, for_reply: bool) -> list[dict[str, Any]]:
    """Lays out a conversation as chat messages; the video stands before the first question."""
    out: list[dict[str, Any]] = [{"role": "system", "content": [{"type": "text", "text": system_prompt}]}]
    for number, turn in enumerate(turns):
        content: list[dict[str, str]] = [{"type": "video"}] if video and number == 0 else []
        out.append({"role": "user", "content": [*content, {"type": "text", "text": turn.question}]})
        if not (for_reply and number == len(turns) - 1):
            out.append({"role": "assistant", "content": [{"type": "text", "text": turn.answer}]})
    return out


def encode(
    tokenizer: Any,
    turns: Sequence[Turn],
    system_prompt: str,
    *,
    end: str,
    video: bool,
    for_reply: bool,
    lead: str = "",
    start: Sequence[int] = (),
) -> Encoded:
    """Encodes a conversation.

    Args:
        tokenizer: a Hugging Face tokenizer with a chat template.
        turns: the conversation.
        system_prompt: text of the system message.
        end: what the template writes right after an answer, such as ``<|im_end|>``; it is learnt too.
        video: whether the first question shows a video; its placeholder is one token here.
        for_reply: leave out the last answer, and end where it starts; no spans are given.
        lead: what the template writes between its prompt and an answer, such as a blank; it is learnt with the answer.
        start: tokens before the text, such as ``<s>``. Not in the template: after a mark, the first word can be
            another token than at the start of a text.

    Raises:
        InputError: an answer's tokens depend on what surrounds it, so that what
            is learnt would not be what is asked for.
    """
    if not turns:
        raise InputError("a conversation without a question")
    chat = messages(turns, system_prompt, video=video, for_reply=for_reply)

    def tokens(text: str) -> list[int]:
        return [*start, *tokenizer(text, add_special_tokens=False).input_ids]

    def render(until: int, prompt: bool) -> str:
        return str(tokenizer.apply_chat_template(chat[:until], tokenize=False, add_generation_prompt=prompt))

    whole = render(len(chat), for_reply)
    ids = tokens(whole)
    spans = []
    for at, message in enumerate(chat):
        # Earlier answers before an open question are the model's own: nothing is learnt from them.
        if for_reply or message["role"] != "assistant":
            continue
        before = render(at, True)
        after = before + lead + message["content"][0]["text"] + end
        asked, said = tokens(before), tokens(after)
        if not (whole.startswith(after) and ids[: len(asked)] == asked and ids[: len(said)] == said):
            raise InputError(
                "the chat template does not give this answer tokens of its own",
                where=message["content"][0]["text"],
                fix="remove blanks and line breaks at both ends of the answer, and chat marks such as <|...|> from it",
            )
        spans.append((len(asked), len(said)))
    return Encoded(input_ids=tuple(ids), answers=tuple(spans))


def labels(length: int, ids: Sequence[int], answers: Sequence[tuple[int, int]]) -> list[int]:
    """Returns ``ids`` inside the answers' spans and -100 elsewhere."""
    out = [IGNORED] * length
    for start, stop in answers:
        out[start:stop] = ids[start:stop]
    return out
