"""Which of the names of a vocabulary a text mentions, and which of them it denies.

Names are found by whole words: longest first, so that a lens injector is no
lens; in singular or plural; in any case; hyphens, slashes, underscores and
blanks alike. What counts as one thing is data: a vocabulary maps each canonical
name to its synonyms.

Negation follows NegEx (Chapman et al. 2001, J Biomed Inform 34(5)), with English
triggers before a name ("no spatula or gauge is visible") and after it ("the
spatula and the gauge are not visible"), ended by the clause.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache

Synonyms = Mapping[str, Sequence[str]]
"""Canonical name to other names of the same thing. The canonical name itself is always looked for."""

_TOKEN = re.compile(r"[^\W_]+(?:'t\b)?|[.;:!?,\n]")
_STOPS = frozenset(".;!?\n")
# A full stop between digits, or one inside an abbreviation such as "e.g.", ends no clause.
_INNER_STOP = re.compile(r"(?<=\d)\.(?=\d)|(?<=\b[a-z])\.(?=[a-z]\b)")


def _set(words: str) -> frozenset[str]:
    return frozenset(words.split())


_BEFORE = _set(
    "no not without neither nor never none nothing lack lacks lacking absence cannot can't isn't aren't wasn't weren't "
    "don't doesn't didn't"
)
_AFTER = _set("absent missing invisible nowhere hidden unseen")
_CONTRAST = _set("but however although though while whereas yet except besides instead")
_CONTRAST_PAIRS = frozenset({("other", "than"), ("apart", "from"), ("aside", "from")})
# "Not only the gauge" names it; "no doubt" denies nothing.
_NO_NEGATION = frozenset({("not", "only"), ("not", "just"), ("not", "merely"), ("no", "doubt")})
_VERBS = _set(
    "is are was were be been being can could may might will would has have had do does did seems seem appears appear "
    "remains remain isn't aren't wasn't weren't cannot can't doesn't don't didn't"
)
_PRESENT = _set(
    "visible present seen shown used there identifiable identified detected found observed recognisable recognizable "
    "discernible apparent depicted displayed employed evident noted"
)
_PLACES = _set("use sight view field frame image picture scene video clip place")
_LIST_WORDS = _set("the a an any of visible or nor and either")


@dataclass(frozen=True)
class Mentions:
    """Canonical names in a text: said to be there, and said not to be.

    A text that contradicts itself has a name in both.
    """

    affirmed: frozenset[str]
    negated: frozenset[str]


@dataclass(frozen=True)
class _Name:
    """A name found in a text; ``canonical`` is None for a phrase that only looks like one."""

    canonical: str | None


_Item = str | _Name
_Words = tuple[str, ...]
_Forms = dict[str, list[tuple[_Words, _Name]]]


def mentions(text: str, vocabulary: Synonyms, passed_over: Sequence[str] = ()) -> Mentions:
    """Finds the names of a vocabulary in a text.

    Args:
        text: English prose.
        vocabulary: canonical name to synonyms; {} finds nothing.
        passed_over: phrases that contain a name and mean something else, such
            as ``lens implantation``, a phase, beside the name ``Lens``.
    """
    forms = _forms(tuple((name, tuple(others)) for name, others in vocabulary.items()), tuple(passed_over))
    affirmed: set[str] = set()
    negated: set[str] = set()
    for clause in _clauses(_items(text, forms)):
        for name, denied in _read(clause):
            if name.canonical is not None:
                (negated if denied else affirmed).add(name.canonical)
    return Mentions(frozenset(affirmed), frozenset(negated))


def around(text: str, vocabulary: Synonyms, passed_over: Sequence[str] = ()) -> list[tuple[str, str | None]]:
    """Returns the words of a text in their order, each name as one, for who wants to know what else is said.

    Returns:
        (word, None) for a word of no name; (canonical name, canonical name) for
        a name, and ("", None) for a phrase that is passed over. Punctuation is left out.
    """
    forms = _forms(tuple((name, tuple(others)) for name, others in vocabulary.items()), tuple(passed_over))
    found: list[tuple[str, str | None]] = []
    for item in _items(text, forms):
        if isinstance(item, _Name):
            found.append((item.canonical or "", item.canonical))
        elif any(letter.isalnum() for letter in item):
            found.append((item, None))
    return found


@lru_cache(maxsize=64)
def _forms(vocabulary: tuple[tuple[str, _Words], ...], passed_over: _Words) -> _Forms:
    """Returns the word sequences to look for by their first word, the longest first."""
    known: dict[_Words, _Name] = {}
    named = [(_Name(name), (name, *others)) for name, others in vocabulary]
    for found, spellings in [(_Name(None), passed_over), *named]:
        for spelling in spellings:
            words = tuple(word for word in _TOKEN.findall(_plain(spelling)) if word.isalnum())
            for last in _numbers(words[-1]) if words else ():
                known.setdefault((*words[:-1], last), found)
    by_first: _Forms = {}
    for words in sorted(known, key=lambda one: (-len(one), one)):
        by_first.setdefault(words[0], []).append((words, known[words]))
    return by_first


def _numbers(word: str) -> set[str]:
    """Returns a word with the plurals that English may give it."""
    plurals = {word, word + "s"}
    if word.endswith(("s", "x", "z", "ch", "sh")):
        plurals.add(word + "es")
    if word.endswith("y") and word[-2:-1] not in "aeiou":
        plurals.add(word[:-1] + "ies")
    if word.endswith("fe"):
        plurals.add(word[:-2] + "ves")
    return plurals


def _plain(text: str) -> str:
    folded = unicodedata.normalize("NFKC", text).casefold().replace("\u2019", "'")
    return _INNER_STOP.sub("", folded)


def _items(text: str, forms: _Forms) -> list[_Item]:
    """Returns the text as words, stops and names; of two names that overlap, the first, then the longest."""
    words = _TOKEN.findall(_plain(text))
    items: list[_Item] = []
    at = 0
    while at < len(words):
        for form, name in forms.get(words[at], ()):
            if tuple(words[at : at + len(form)]) == form:
                items.append(name)
                at += len(form)
                break
        else:
            items.append(words[at])
            at += 1
    return items


def _clauses(items: Sequence[_Item]) -> Iterator[list[_Item]]:
    """Divides at stops, and at words that turn the meaning: but, except, other than."""
    clause: list[_Item] = []
    for at, item in enumerate(items):
        pair = (item, items[at + 1] if at + 1 < len(items) else "")
        # "Not visible: the gauge" is one clause; "No phase is named: the gauge is visible" is two.
        colon = item == ":" and any(isinstance(one, _Name) for one in clause)
        if item in _STOPS or item in _CONTRAST or colon or pair in _CONTRAST_PAIRS:
            yield clause
            clause = []
        else:
            clause.append(item)
    yield clause


def _read(clause: Sequence[_Item]) -> list[tuple[_Name, bool]]:
    """Returns the names of a clause, each with whether it is denied.

    A denial reaches from its trigger to the first verb after what it denies,
    or back over the names that are the verb's subject.
    """
    found: list[tuple[_Name, bool]] = []
    subject: list[int] = []  # places in `found` of the names that the next verb is about
    seen_verb = False
    denying = False
    reached = False  # the present denial has its object: a name, or a word that is none ("no instruments are ...")
    listing = False  # "not visible: ..." denies all that follows
    for at, item in enumerate(clause):
        rest = clause[at + 1 :]
        if isinstance(item, _Name):
            if seen_verb:
                subject, seen_verb = [], False
            subject.append(len(found))
            found.append((item, denying))
            reached = True
        elif item in _VERBS and item not in _BEFORE:
            denying = denying and (listing or not reached)
            seen_verb = bool(subject)
        elif item in _BEFORE or item in _AFTER:
            if (item, *rest[:1]) in _NO_NEGATION:
                continue
            seen_verb = seen_verb or (item in _VERBS and bool(subject))
            if subject and _is_about_subject(item, rest, seen_verb):
                for place in subject:
                    found[place] = (found[place][0], True)
                subject, seen_verb = [], False
            elif not seen_verb or _names_next(rest):
                denying, reached = True, False
        elif item == ",":
            denying = denying and (listing or (reached and _goes_on(rest)))
        elif item == ":":
            listing = denying
        elif item == "and" and reached and not subject:
            denying = False
        elif item not in _LIST_WORDS:
            reached = True
    return found


def _is_about_subject(trigger: str, rest: Sequence[_Item], seen_verb: bool) -> bool:
    """Whether a denial looks back: "X is absent", "X is not visible", "X not visible"."""
    if trigger in _AFTER:
        return not _names_next(rest)
    return (seen_verb or trigger == "not") and _says_absent(rest) and (seen_verb or bool(rest))


def _goes_on(rest: Sequence[_Item]) -> bool:
    """Whether a denied list goes on behind a comma: names up to an "or", without a verb between."""
    for item in rest:
        if item in ("or", "nor"):
            return True
        if not isinstance(item, _Name) and item != "," and item not in _LIST_WORDS:
            return False
    return False


def _says_absent(rest: Sequence[_Item]) -> bool:
    """Whether "X is not ..." goes on so that X is not there: "visible", "in sight", or nothing more."""
    words = [item for item in rest if item not in _VERBS and item != ","]
    first = words[0] if words else ""
    if first in ("in", "on", "within"):
        return any(word in _PLACES for word in words[1:4])
    return not words or first in _PRESENT or (first in ("currently", "clearly", "yet") and _says_absent(words[1:]))


def _names_next(rest: Sequence[_Item]) -> bool:
    """Whether nothing but list words stands before the next name: "is not the gauge"."""
    return next((isinstance(item, _Name) for item in rest if item not in _LIST_WORDS), False)
