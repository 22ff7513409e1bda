"""The template back end: fixed sentences, no model.

Answers are full sentences built so that their content can be read back:
:func:`parse_answer` is the exact inverse of :func:`phase_answer`,
:func:`set_answer` and :func:`spatial_answer`.
"""

from __future__ import annotations

import re
from collections.abc import Sequence

from suture.errors import ConfigError, InputError
from suture.files import sha256_text
from suture.qa import spatial
from suture.qa.base import ALL_KINDS, KINDS, Facts, Relations
from suture.qa.names import ObjectNames
from suture.records import Turn

WORDINGS = {
    "phase": (
        "What is the current phase of the surgery?",
        "Which phase of the cataract surgery does this video show?",
        "Which surgical phase is being performed?",
        "Name the phase of the surgery in this video.",
    ),
    "anatomy": (
        "Which anatomical structures are visible?",
        "What structures of the eye can be seen in this video?",
        "Name the anatomical structures that are in sight.",
        "Which parts of the eye does this video show?",
    ),
    "instruments": (
        "Which surgical instruments are visible?",
        "What instruments is the surgeon using in this video?",
        "Name the surgical instruments that are in sight.",
        "Which instruments does this video show?",
    ),
    "spatial": (
        "Where is each visible surgical instrument relative to the {reference}?",
        "How do the visible surgical instruments lie in relation to the {reference}?",
        "Seen from the {reference}, where is each surgical instrument?",
        "Describe where each surgical instrument lies relative to the {reference}.",
    ),
    "order": (
        "Which phase of the surgery came before the current one?",
        "What phase preceded the one that is shown?",
        "Name the surgical phase before this one.",
        "Before the phase in this video, which phase was performed?",
    ),
    "counts": (
        "How many kinds of surgical instrument are visible?",
        "What is the number of different surgical instruments in sight?",
        "Count the kinds of surgical instrument in this video.",
        "How many different instruments does this video show?",
    ),
}
"""Questions by kind; the first of each is the default one."""

NUMBERS = (
    *("no", "one", "two", "three", "four", "five", "six"),
    *("seven", "eight", "nine", "ten", "eleven", "twelve"),
)
"""Numbers in letters, from 0."""

_PHASE = ("The current phase is ", ".")
_NOUN = {"anatomy": "anatomical structure", "instruments": "surgical instrument"}
_SPATIAL = ("In the image, ", ".")
_ORDER = ("The phase before was ", ".")


def phase_answer(name: str) -> str:
    """Returns the sentence that names a phase.

    Raises:
        InputError: an empty name, or one with blanks around it or line breaks in it.
    """
    if not name or name != " ".join(name.split()):
        raise InputError(f"{name!r} is not a phase name", fix="one line, no blanks around it")
    return name.join(_PHASE)


def set_answer(kind: str, found: Sequence[str]) -> str:
    """Returns the sentence that names structures (``anatomy``) or ``instruments``, in the order given."""
    ordered = [f"the {name}" for name in found]
    if not ordered:
        return f"No {_NOUN[kind]} is visible."
    if len(ordered) == 1:
        return f"The visible {_NOUN[kind]} is {ordered[0]}."
    return f"The visible {_NOUN[kind]}s are {', '.join(ordered[:-1])} and {ordered[-1]}."


def spatial_answer(relations: Relations) -> str:
    """Returns the sentence that places each instrument relative to the reference."""
    if not relations.directions:
        return set_answer("instruments", ())
    clauses = (f"the {name} is {where} the {relations.reference}" for name, where in relations.directions)
    return "; ".join(clauses).join(_SPATIAL)


def order_answer(before: str) -> str:
    """Returns the sentence that names the phase before; an empty name: there was none."""
    return "No phase came before: this is the first one." if not before else before.join(_ORDER)


def count_answer(number: int) -> str:
    """Returns the sentence that says how many kinds of instrument are in sight."""
    noun = "kind of surgical instrument is" if number == 1 else "kinds of surgical instrument are"
    return f"{number_word(number).capitalize()} {noun} visible."


def number_word(number: int) -> str:
    """Returns a number as people write it in a sentence: in letters up to twelve."""
    return NUMBERS[number] if number < len(NUMBERS) else str(number)


def parse_answer(kind: str, text: str, names: ObjectNames) -> str | frozenset[str]:
    """Reads an answer back: the phase name, the set of names, or the set of spatial clauses.

    A spatial clause reads ``the Gauge is above the Pupil``.

    Raises:
        InputError: the text is no answer that this template writes.
    """
    if kind == "phase":
        name = text.removeprefix(_PHASE[0]).removesuffix(_PHASE[1])
        if name and name == " ".join(name.split()) and phase_answer(name) == text:
            return name
    elif kind in _NOUN:
        body = re.sub(r"^The visible [a-z ]+ (?:is|are) the ", "", text).removesuffix(".")
        found = frozenset(re.split(r", the | and the ", body)) & frozenset(names.kinds)
        if set_answer(kind, names.in_order(kind, found)) == text:
            return found
    elif kind == "spatial":
        clauses = text.removeprefix(_SPATIAL[0]).removesuffix(_SPATIAL[1]).split("; ")
        if text == set_answer("instruments", ()):
            return frozenset()
        if "; ".join(clauses).join(_SPATIAL) == text and _are_clauses(clauses, names):
            return frozenset(clauses)
    raise InputError(f"not a {kind} answer of the template: {text!r}")


def _are_clauses(clauses: Sequence[str], names: ObjectNames) -> bool:
    instruments = names.in_order("instruments", names.kinds)
    for reference in names.references:
        written = {
            f"the {name} is {where} the {reference}": name
            for name in instruments
            for where in spatial.DIRECTIONS.values()
        }
        found = [written[clause] for clause in clauses if clause in written]
        if len(found) == len(clauses) and tuple(found) == names.in_order("instruments", found):
            return True
    return False


class Template:
    """Words facts with fixed sentences.

    Args:
        kinds: the kinds of question, asked in the order of ``base.ALL_KINDS``.
        wordings: how many wordings of a question are used. Which one a clip
            gets is a stable hash of seed, clip id and kind.
        seed: moves that choice.
        first: the first wording in use. Training with wordings 0 and 1 and
            testing with 2 and 3 tests questions that were never read.

    Raises:
        ConfigError: an unknown kind, or more wordings than there are.
    """

    ORIGIN = "template"

    def __init__(self, kinds: Sequence[str] = KINDS[:3], wordings: int = 1, seed: int = 42, first: int = 0) -> None:
        unknown = sorted(set(kinds) - set(ALL_KINDS))
        if unknown or not kinds:
            raise ConfigError(
                f"unknown kind of question: {unknown or 'none given'}", fix=f"some of {', '.join(ALL_KINDS)}"
            )
        most = min(len(WORDINGS[kind]) for kind in kinds)
        if not 1 <= wordings <= most:
            raise ConfigError(f"{wordings} wordings asked for; there are {most}", fix=f"--wordings 1 to {most}")
        if not 0 <= first <= most - wordings:
            raise ConfigError(
                f"{wordings} wordings from number {first} on; there are {most}",
                fix=f"--first-wording 0 to {most - wordings}",
            )
        self.kinds = tuple(kind for kind in ALL_KINDS if kind in kinds)
        self._first = first
        self._wordings = wordings
        self._seed = seed

    def write(self, facts: Facts) -> tuple[Turn, ...]:
        """Writes one turn for each kind; none where the facts do not settle it, as for spatial and order."""
        answers = {
            "phase": phase_answer(facts.phase),
            "anatomy": set_answer("anatomy", facts.anatomy),
            "instruments": set_answer("instruments", facts.instruments),
        }
        if facts.relations is not None:
            answers["spatial"] = spatial_answer(facts.relations)
        if facts.before is not None:
            answers["order"] = order_answer(facts.before)
        answers["counts"] = count_answer(len(facts.instruments))
        return tuple(
            Turn(question=self._question(kind, facts), answer=answers[kind], kind=kind)
            for kind in self.kinds
            if kind in answers
        )

    def _question(self, kind: str, facts: Facts) -> str:
        number = int(sha256_text(f"{self._seed}/{facts.clip}/{kind}")[:12], 16) % self._wordings + self._first
        reference = facts.relations.reference.lower() if facts.relations else ""
        return WORDINGS[kind][number].format(reference=reference)
