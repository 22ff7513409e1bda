"""Whether free text names the right phase, and the right instruments and structures."""

from __future__ import annotations

from collections.abc import Sequence

from suture.measures.counts import Counts, mean_over
from suture.tasks.base import Context, Measure, Missing, Row, mean_measure
from suture.vocabulary import mentions

PHASE = "phase"
OBJECT_KINDS = ("anatomy", "instruments")

_SET = (
    "of the {kind} that an answer names against those that the gold answer names, mean over questions of that kind; "
    "by the dataset's names and synonyms, denied ones left out; {empty}"
)
_PRECISION = "share right " + _SET.format(
    kind="{kind}", empty="1 where neither names any, 0 where only the answer is empty"
)
_RECALL = "share found " + _SET.format(kind="{kind}", empty="1 where neither names any, 0 where only the gold is empty")
_F1 = "F1 (Dice) " + _SET.format(kind="{kind}", empty="1 where neither names any")
_PHASE_F1 = (
    "unweighted mean F1 over the phases that occur as gold, of questions of kind phase; an answer counts as the one "
    "phase that it names, as none where it names none or several"
)


def set_measures(rows: Sequence[Row], n_units: int, context: Context) -> list[Measure | Missing]:
    """Gives ``set_f1@KIND``, ``set_precision@KIND`` and ``set_recall@KIND`` of the kinds that name objects."""
    found: list[Measure | Missing] = []
    for kind in OBJECT_KINDS:
        mine = [row for row in rows if row.kind == kind]
        if not mine:
            continue
        names = context.objects.get(kind)
        if not names:
            reason = "the names of the dataset's objects are not known (--adapter)"
            found += [Missing(key=f"{key}@{kind}", reason=reason) for key in ("set_f1", "set_precision", "set_recall")]
            continue
        named = {text: _named(text, names, context) for row in mine for text in (row.answer, row.prediction)}
        pairs = [(named[row.prediction], named[row.answer]) for row in mine]
        scores = {
            "set_f1": (_F1, [_share(2 * len(p & g), len(p) + len(g)) for p, g in pairs]),
            "set_precision": (_PRECISION, [_share(len(p & g), len(p), empty=not g) for p, g in pairs]),
            "set_recall": (_RECALL, [_share(len(p & g), len(g), empty=not p) for p, g in pairs]),
        }
        found += [
            mean_measure(f"{key}@{kind}", definition.format(kind=kind), mine, values, n_units)
            for key, (definition, values) in scores.items()
        ]
    return found


def _named(text: str, names: frozenset[str], context: Context) -> frozenset[str]:
    # All names are looked for, of which one kind is kept: a lens injector is no lens.
    return mentions(text, context.synonyms, context.passed_over).affirmed & names


def _share(hits: int, of: int, *, empty: bool = True) -> float:
    return hits / of if of else float(empty)


def phase_measures(rows: Sequence[Row], n_units: int, context: Context) -> list[Measure]:
    """Gives ``phase_f1_macro`` where there are questions about the phase."""
    mine, gold, predicted, _ = read_phases(rows, context)
    if not mine:
        return []
    counts = Counts(mine, gold, predicted, n_units)
    return [
        counts.measure(
            "phase_f1_macro",
            _PHASE_F1,
            lambda weights: mean_over(counts.f1(weights), counts.in_gold(weights)),
            classes="phase",
        )
    ]


def read_phases(rows: Sequence[Row], context: Context) -> tuple[list[Row], list[int], list[int], list[str]]:
    """Reads the questions about the phase: rows, gold class and predicted class of each (-1: none), class names.

    The gold class is the row's phase, or its gold answer where it has none.
    The classes are the phases that occur and those that the context names.
    """
    mine = [row for row in rows if row.kind == PHASE]
    gold_names = [row.phase or row.answer for row in mine]
    names = sorted({*gold_names, *(context.phases if mine else ())})
    number = {name: place for place, name in enumerate(names)}
    spellings: dict[str, tuple[str, ...]] = dict.fromkeys(names, ())
    said = {row.prediction: mentions(row.prediction, spellings).affirmed for row in mine}
    one = [said[row.prediction] for row in mine]
    predicted = [number[next(iter(found))] if len(found) == 1 else -1 for found in one]
    return mine, [number[name] for name in gold_names], predicted, names
