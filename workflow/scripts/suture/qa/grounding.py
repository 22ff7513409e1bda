"""Whether an answer says what the record says: nothing less, nothing more, nothing else.

Each function checks the answer to one kind of question. That nothing else is
said is checked by :func:`strangers`: beside names, an answer may be made only of
words that claim nothing (``gate_words.txt``). That refuses right answers in
unusual words, which are asked for again; the other way round, a list of what
must not be said would let through all that it lacks.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence

from suture.qa import lexicon, spatial
from suture.qa.base import Facts
from suture.qa.reasons import Problem
from suture.qa.template import NUMBERS
from suture.qa.terms import Said, Terms

_ONE_OF = frozenset({"or", "nor"})
_GENERAL = frozenset(
    [
        "structure",
        "structures",
        "instrument",
        "instruments",
        "tool",
        "tools",
        "kind",
        "kinds",
        "type",
        "types",
        "device",
        "devices",
        "part",
        "parts",
        "anatomical",
        "surgical",
    ]
)
_STATES = frozenset(["is", "are", "lies", "lie", "sits", "sit", "was", "were"])
_FIRST = frozenset(["first", "no", "none", "nothing"])


def check(kind: str, answer: str, facts: Facts, terms: Terms) -> list[Problem]:
    """Returns what an answer says wrongly, and what it says beside the record."""
    said = terms.read(answer, of_phases=kind in ("phase", "order"))
    problems = [Problem(reason, kind, detail) for reason, detail in _CHECKS[kind](said, facts, terms)]
    return problems + [Problem(reason, kind, detail) for reason, detail in strangers(kind, said)]


def strangers(kind: str, said: Said) -> Iterator[tuple[str, str]]:
    """Yields the words of an answer that may claim what no record says."""
    allowed = lexicon.words("plain") | {"s"}
    if kind == "spatial":
        allowed |= lexicon.words("places")
    if said.no_objects or said.no_phases or not said.objects | said.phases:
        allowed |= _ONE_OF
    numbers = frozenset(NUMBERS) if kind == "counts" else frozenset(NUMBERS[1:])
    unknown = [word for word in dict.fromkeys(said.plain) if word not in allowed | numbers]
    hedges = [word for word in unknown if word in lexicon.words("hedges") | _ONE_OF]
    if hedges:
        yield "hedge", f"its answer does not say it outright: {', '.join(hedges)}"
    others = [word for word in unknown if word not in hedges]
    if others:
        half = len(said.words) / 2
        reason = "language" if sum(word in others for word in said.plain) > half else "unknown_words"
        yield reason, f"its answer has words that the facts do not give: {', '.join(others[:8])}"


def _phase(said: Said, facts: Facts, terms: Terms) -> Iterator[tuple[str, str]]:
    yield from _one_phase(said, facts.phase)
    seen = {*facts.anatomy, *facts.instruments}
    yield from _names("absent_object", "it names what is not in sight", said.objects - seen)
    yield from _names("object_denied", "it denies what is in sight", said.no_objects & seen)


def _one_phase(said: Said, phase: str) -> Iterator[tuple[str, str]]:
    if phase not in said.phases:
        yield "phase_missing", f"its answer does not name the phase {phase}"
    if phase in said.no_phases:
        yield "phase_denied", f"its answer denies the phase {phase}"
    yield from _names("other_phase", "it names another phase", said.phases - {phase})


def _set(own: str, other: str) -> Callable[[Said, Facts, Terms], Iterator[tuple[str, str]]]:
    """Returns the check of an answer that names a set: ``anatomy`` or ``instruments``, and none of the other kind."""

    def checked(said: Said, facts: Facts, terms: Terms) -> Iterator[tuple[str, str]]:
        wanted = frozenset(getattr(facts, own))
        of_kind = {name for name, kind in terms.names.kinds.items() if kind == own}
        yield from _names("missing_object", "it leaves out", wanted - said.objects)
        yield from _names("absent_object", "it names what is not in sight", (said.objects & of_kind) - wanted)
        yield from _names("other_kind_of_object", f"it names {other} among {own}", said.objects - of_kind)
        yield from _names("object_denied", "it denies what is in sight", said.no_objects & wanted)
        yield from _names("other_phase", "it names another phase", said.phases - {facts.phase})
        if not wanted and not _says_none(said):
            yield "missing_object", f"its answer does not say that there are no {own}"
        if wanted and said.objects and _denies_all(said):
            yield "object_denied", f"its answer says that there are no {own}"
        yield from _counted(said, len(wanted))

    return checked


def _says_none(said: Said) -> bool:
    return bool({"no", "not", "none", "neither", "nothing", "without", "isn't", "aren't"} & set(said.plain))


def _denies_all(said: Said) -> bool:
    """Whether "no instrument" is said of all of them; "no other instrument" is not."""
    words = said.plain
    return any(
        one == "no"
        and next((word for word in words[at + 1 :] if word not in ("surgical", "anatomical")), "") in _GENERAL
        for at, one in enumerate(words)
    )


def _counted(said: Said, number: int) -> Iterator[tuple[str, str]]:
    """Yields numbers that the record does not give: of one thing, or another number of things."""
    for at, (word, name) in enumerate(said.words):
        if name is not None or word not in NUMBERS[1:]:
            continue
        rest = said.words[at + 1 :]
        end = next((place for place, (one, is_name) in enumerate(rest) if is_name or one in _GENERAL), None)
        of_one_thing = end is not None and rest[end][1] is not None and word != "one"
        wrong = end is not None and rest[end][1] is None and NUMBERS.index(word) != number and word != "one"
        if of_one_thing or wrong:
            yield "number", f"its answer counts what the facts do not count: {word}"


def _spatial(said: Said, facts: Facts, terms: Terms) -> Iterator[tuple[str, str]]:
    relations = facts.relations
    if relations is None:
        return
    places = dict(relations.directions)
    instruments = {name for name, kind in terms.names.kinds.items() if kind == "instruments"}
    if not places and not _says_none(said):
        yield "missing_object", "its answer does not say that no instrument is visible"
    yield from _names("missing_object", "it leaves out", places.keys() - said.objects)
    yield from _names(
        "absent_object", "it names what is not to be placed", said.objects - {*places, relations.reference}
    )
    yield from _names("object_denied", "it denies what is in sight", said.no_objects & {*places, relations.reference})
    if places and relations.reference not in said.objects:
        yield "reference_missing", f"its answer does not name the {relations.reference}"
    before, segments = _segments(said.words, instruments)
    if _sides(before):
        yield "place_order", "its answer gives a place before the instrument that it is of"
    for name, words in segments:
        wanted = _sides([(word, None) for word in places.get(name, "").split()])
        if name in places and _sides(words) != wanted:
            yield "wrong_place", f"its answer does not say that the {name} is {places[name]} the {relations.reference}"
        # "... the pupil is to the right": then the places are exchanged.
        turned = any(
            one == relations.reference and words[at + 1 : at + 2] and words[at + 1][0] in _STATES
            for at, (_, one) in enumerate(words)
        )
        if turned:
            yield "place_turned", f"its answer tells where the {relations.reference} is"


_Words = Sequence[tuple[str, str | None]]


def _segments(words: _Words, instruments: set[str]) -> tuple[_Words, list[tuple[str, _Words]]]:
    """Divides an answer at its instruments: what stands before the first, and what follows each."""
    starts = [at for at, (_, name) in enumerate(words) if name in instruments]
    ends = [*starts[1:], len(words)][: len(starts)]
    parts = [(words[at][0], words[at + 1 : end]) for at, end in zip(starts, ends, strict=True)]
    return words[: starts[0] if starts else len(words)], parts


def _sides(words: _Words) -> frozenset[str]:
    return frozenset(lexicon.sides()[word] for word, name in words if name is None and word in lexicon.sides())


def _order(said: Said, facts: Facts, terms: Terms) -> Iterator[tuple[str, str]]:
    if facts.before:
        yield from _one_phase(said, facts.before)
    else:
        yield from _names("other_phase", "it names a phase before", said.phases - {facts.phase})
        if not _FIRST & set(said.plain):
            yield "phase_missing", "its answer does not say that the current phase is the first"
    yield from _names("absent_object", "it names what was not asked for", said.objects)


def _counts(said: Said, facts: Facts, terms: Terms) -> Iterator[tuple[str, str]]:
    number = len(facts.instruments)
    found = {
        0 if word in ("none", "zero") else NUMBERS.index(word) for word in said.plain if word in (*NUMBERS, "none")
    }
    if found != {number}:
        yield "number", f"its answer does not say {NUMBERS[number]}"
    yield from _names("absent_object", "it names what is not in sight", said.objects - set(facts.instruments))


def _names(reason: str, clause: str, names: frozenset[str] | set[str]) -> Iterator[tuple[str, str]]:
    if names:
        yield reason, f"{clause}: {', '.join(sorted(names))}"


_CHECKS: dict[str, Callable[[Said, Facts, Terms], Iterator[tuple[str, str]]]] = {
    "phase": _phase,
    "anatomy": _set("anatomy", "instruments"),
    "instruments": _set("instruments", "anatomy"),
    "spatial": _spatial,
    "order": _order,
    "counts": _counts,
}

SIDES_OF = {where: _sides([(word, None) for word in where.split()]) for where in spatial.DIRECTIONS.values()}
"""The sides that each direction of the facts names; no two are alike."""
