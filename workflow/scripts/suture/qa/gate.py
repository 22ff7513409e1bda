"""Lets a reply through only where each pair of it may be learnt from: form, language, leaks, grounding.

What it refuses goes back to the model with the reason, a bounded number of
times. It cannot judge what a word means: how often it is wrong on answers that
people judged is in docs/questions.md.
"""

from __future__ import annotations

import itertools
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from suture.qa import grounding, lexicon, requests, schema
from suture.qa.base import Facts
from suture.qa.reasons import Problem
from suture.qa.terms import Terms
from suture.records import Turn

MIN_QUESTION = 10
MIN_WORDS = 3
"""Shortest question, in characters, and shortest answer, in words."""

NEAR = 0.8
"""Two questions whose sets of words overlap by this share (Jaccard) are one question."""

_WORD = re.compile(r"[^\W_]+")
_NOT_ENGLISH = re.compile(r"[^\x20-\x7e\u2010-\u2019\u201c\u201d]")
_FORMS = {
    "file_name": re.compile(
        r"\b[\w-]+\.(?:mp4|avi|mkv|mov|jpe?g|png|json|csv|txt)\b|\w+_\d|\bcase[ _]?\d+", re.IGNORECASE
    ),
    "time": re.compile(r"\d+:\d\d|\b\d+(?:\.\d+)?\s*(?:s|sec|secs|seconds?|minutes?|min|ms)\b", re.IGNORECASE),
    "box": re.compile(r"[\[(]\s*\d+(?:\.\d+)?\s*[,;]"),
    "json": re.compile(r'[{}\[\]]|"\s*:|```|</?\w+>'),
    "number": re.compile(r"\d"),
}
_ASKS = {
    "phase": {"phase", "phases", "step", "stage", "part", "point"},
    "anatomy": {"anatomical", "anatomy", "structure", "structures", "part", "parts"},
    "instruments": {"instrument", "instruments", "instrumentation", "tool", "tools"},
    "spatial": {
        "where",
        "position",
        "positioned",
        "located",
        "location",
        "relative",
        "relation",
        "lie",
        "placed",
        "seen",
    },
    "order": {"before", "preceded", "precedes", "previous", "previously", "prior", "earlier", "preceding"},
    "counts": {"many", "number", "count"},
}


@dataclass(frozen=True)
class Judged:
    """A reply's pairs, where none is refused; or what is wrong with it."""

    turns: tuple[Turn, ...]
    problems: tuple[Problem, ...]


def judge(reply: requests.Reply, facts: Facts, kinds: Sequence[str], terms: Terms) -> Judged:
    """Judges a reply about one clip: all of its pairs, or none."""
    if reply.finish == requests.FAILED:
        return Judged((), (Problem("no_reply", "", reply.text),))
    if reply.finish == requests.LENGTH:
        return Judged((), (Problem("cut_off", "", "it did not end within its budget of tokens"),))
    if reply.finish == requests.FILTERED:
        return Judged((), (Problem("refusal", "", "the server filtered it out"),))
    if not reply.text.strip():
        return Judged((), (Problem("not_json", "", "it was empty"),))
    pairs, problems = schema.parse(reply.text, facts, kinds)
    if problems and not pairs and _refuses(reply.text):
        problems = [Problem("refusal", "", "it refused to answer")]
    for kind, (question, answer) in pairs.items():
        problems += check_question(kind, question, facts, terms)
        problems += check_answer(kind, answer, facts, terms)
    problems += _alike({kind: question for kind, (question, _) in pairs.items()})
    if problems:
        return Judged((), tuple(problems))
    turns = tuple(Turn(question=pairs[kind][0], answer=pairs[kind][1], kind=kind) for kind in kinds)
    return Judged(turns, ())


def check_answer(kind: str, answer: str, facts: Facts, terms: Terms) -> list[Problem]:
    """Returns why an answer may not stand as the gold answer; empty where it may."""
    words = _WORD.findall(answer)
    problems = [Problem(reason, kind, detail) for reason, detail in _form(answer, "answer", digits=kind == "counts")]
    if len(words) < MIN_WORDS:
        problems.append(Problem("too_short", kind, "its answer is no sentence"))
    if len(answer) > schema.MAX_ANSWER:
        problems.append(Problem("too_long", kind, f"its answer has more than {schema.MAX_ANSWER} characters"))
    if _refuses(answer):
        problems.append(Problem("refusal", kind, "its answer is a refusal"))
    if _repeats(words, places=kind == "spatial"):
        problems.append(Problem("repeats", kind, "its answer repeats itself"))
    return problems + grounding.check(kind, answer, facts, terms)


def check_question(kind: str, question: str, facts: Facts, terms: Terms) -> list[Problem]:
    """Returns why a question may not be asked; empty where it may."""
    problems = [Problem(reason, kind, detail) for reason, detail in _form(question, "question", digits=False)]
    if len(question) < MIN_QUESTION:
        problems.append(Problem("too_short", kind, "its question is too short"))
    if len(question) > schema.MAX_QUESTION:
        problems.append(Problem("too_long", kind, f"its question has more than {schema.MAX_QUESTION} characters"))
    said = terms.read(question, of_phases=kind in ("phase", "order"))
    # What the question may name: the structure that places are told from, and the phase that another came before.
    named = {
        "spatial": {facts.relations.reference, *facts.instruments} if facts.relations else set(),
        "order": {facts.phase},
    }.get(kind, set())
    leaked = sorted((said.objects | said.no_objects | said.phases | said.no_phases) - named)
    if kind == "spatial" and set(lexicon.sides()) & set(said.plain):
        leaked.append("a place")
    if leaked:
        problems.append(
            Problem("leak", kind, f"its question names what it asks for, or another thing: {', '.join(leaked)}")
        )
    if not _ASKS[kind] & set(said.plain) - {name for _, name in said.words if name}:
        problems.append(Problem("other_question", kind, f"its question does not ask for the {kind}"))
    allowed = lexicon.words("plain") | lexicon.words("places") | {"s"}
    unknown = [word for word in dict.fromkeys(said.plain) if word not in allowed]
    if unknown:
        problems.append(
            Problem(
                "unknown_words", kind, f"its question has words that it should do without: {', '.join(unknown[:8])}"
            )
        )
    return problems


def overlap(one: str, other: str) -> float:
    """Returns the share of words that two texts have in common (Jaccard), from 0 to 1."""
    first, second = (set(_WORD.findall(text.casefold())) for text in (one, other))
    return len(first & second) / max(1, len(first | second))


def _form(text: str, what: str, *, digits: bool) -> Iterator[tuple[str, str]]:
    for reason, pattern in _FORMS.items():
        if reason == "number" and digits:
            continue
        if found := pattern.search(text):
            yield reason, f"its {what} has {found[0][:20]!r} in it"
            break
    machinery = sorted(set(_WORD.findall(text.casefold())) & lexicon.words("machinery"))
    if machinery:
        yield "machinery", f"its {what} speaks of how it was made: {', '.join(machinery)}"
    if found := _NOT_ENGLISH.search(text):
        yield "language", f"its {what} has {found[0]!r} in it"


def _refuses(text: str) -> bool:
    plain = f" {' '.join(text.casefold().replace('’', chr(39)).split())} "
    return any(f" {phrase} " in plain.replace(",", " ").replace(".", " ") for phrase in lexicon.phrases("refusals"))


def _repeats(words: Sequence[str], *, places: bool) -> bool:
    """Whether a word comes twice in a row, or three words come again; ``places`` may be told in equal words."""
    low = [word.casefold() for word in words]
    threes = [tuple(low[at : at + 3]) for at in range(len(low) - 2)]
    again = len(set(threes)) < len(threes) and not places
    return again or any(one == other for one, other in itertools.pairwise(low))


def _alike(questions: dict[str, str]) -> list[Problem]:
    problems = []
    kinds = list(questions)
    for at, kind in enumerate(kinds):
        twin = next((one for one in kinds[:at] if overlap(questions[one], questions[kind]) >= NEAR), None)
        if twin:
            problems.append(Problem("near_duplicate", kind, f"its question is that of {twin} again"))
    return problems
