"""Does an experiment beat what needs no look at the video? The comparison that leads the page."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from fnmatch import fnmatchcase
from typing import Any

BLIND = {
    "majority": "the most frequent training answer",
    "blind": "the same model, trained without video",
    "metadata": "clip length, file size and question alone",
    "shuffled": "the model shown another clip",
}
"""Baselines that have not seen the video in question, with the words of the legend."""

OTHER = {
    "still": "the model shown one frame of each clip, repeated",
    "zero_shot": "the base model before training",
    "ceiling": "the most the measure can reach",
}
"""What else a number is drawn beside: it decides nothing."""

LEADING = ("acc", "acc@*", "phase_f1_macro", "set_f1@*", "f1_macro", "mAP@official", "ap_macro", "auroc*", "auprc*")
"""Measures that lead the page, in this order; where none of them is there, :data:`OF_TEXTS` do."""

OF_TEXTS = ("bertscore", "rouge_l", "bleu_4")

NO_RACE = frozenset({"ece", "sensitivity", "specificity"})
"""Measures of which a higher one is not better, or is bought with another: always saying yes has sensitivity 1."""

OF_ANSWERS = {
    "relaxed": "part for its kind",
    "keyword_f1": "F1 of names",
    "bin": "right or next bin",
    "tier": "right or next tier",
    "binary": "told right",
    "rouge_l": "ROUGE-L",
    "bertscore": "BERTScore",
}
"""Words of measures that a question has of its own, by the first part of their keys."""

FEW_CASES = 10


class Outcome(StrEnum):
    """How a number, or an experiment, stands to its baselines; a leaky one says nothing."""

    BEATS = "beats"
    FAILS = "fails"
    ALONE = "alone"
    LEAKY = "leaky"


SEVERITY = (Outcome.LEAKY, Outcome.FAILS, Outcome.ALONE, Outcome.BEATS)
"""The worst first."""


@dataclass(frozen=True, kw_only=True)
class Mark:
    """A baseline's value on a number's track, as a share of 1; ``words`` say what it is."""

    name: str
    words: str
    value: float


@dataclass(frozen=True, kw_only=True)
class Line:
    """One number of an experiment beside its baselines; all values as shares of 1.

    ``bar`` is the highest of those that have not seen the video, ``others`` are
    the rest. ``ceiling`` is None where the gold answers reach 1.
    """

    label: str
    key: str
    n: int
    value: float
    low: float
    high: float
    bar: Mark | None
    others: tuple[Mark, ...]
    ceiling: float | None
    outcome: Outcome
    overall: bool

    @property
    def words(self) -> str:
        """The outcome as a reader sees it."""
        if self.bar is None:
            return "no baseline"
        name = self.bar.name.replace("_", " ")
        return f"above {name}" if self.outcome is Outcome.BEATS else f"not above {name}"


@dataclass(frozen=True, kw_only=True)
class Verdict:
    """An experiment's lines, the leading one first, and what to beware of."""

    name: str
    lines: tuple[Line, ...]
    leaky: bool
    warnings: tuple[str, ...]

    @property
    def leading(self) -> Line | None:
        """The number that stands for the experiment where there is room for one."""
        return self.lines[0] if self.lines else None

    @property
    def failed(self) -> tuple[Line, ...]:
        """Lines that do not beat their baselines."""
        return tuple(line for line in self.lines if line.outcome is Outcome.FAILS)

    @property
    def outcome(self) -> Outcome:
        """The worst that any line shows; nothing measured stands alone."""
        if self.leaky:
            return Outcome.LEAKY
        return worst(line.outcome for line in self.lines) if self.lines else Outcome.ALONE

    @property
    def marks(self) -> tuple[str, ...]:
        """Names of the baselines that are drawn, in the order of the legend."""
        drawn = {line.bar.name for line in self.lines if line.bar} | {
            m.name for line in self.lines for m in line.others
        }
        if any(line.ceiling is not None for line in self.lines):
            drawn.add("ceiling")
        return tuple(name for name in (*BLIND, *OTHER) if name in drawn)


def worst(outcomes: Iterable[Outcome]) -> Outcome:
    """Returns the worst of some outcomes; of none, that nothing failed."""
    return min(outcomes, key=SEVERITY.index, default=Outcome.BEATS)


def compare(low: float, baseline: float | None) -> Outcome:
    """Judges an interval's lower end: an interval that reaches the baseline's value does not beat it."""
    if baseline is None:
        return Outcome.ALONE
    return Outcome.BEATS if low > baseline else Outcome.FAILS


def leading_keys(metrics: Mapping[str, Any]) -> list[str]:
    """Chooses the measures that lead the page: what is right before what is alike, the overall number first."""
    for patterns in (LEADING, OF_TEXTS):
        found = [key for pattern in patterns for key in sorted(metrics) if fnmatchcase(key, pattern)]
        shown = list(dict.fromkeys(key for key in found if metrics[key]["low"] >= 0 and metrics[key]["high"] <= 1))
        if shown:
            return shown
    return []


def own_keys(entry: Mapping[str, Any]) -> list[str]:
    """Names the measures that a task has for its questions, in their order: of tasks that ask one measure of each."""
    asked = entry.get("tables", {}).get("questions", ())
    return [one["key"] for one in asked if one["key"] in entry["metrics"]]


def _lines_of(entry: Mapping[str, Any]) -> list[str]:
    """Chooses an experiment's lines: where each question has a measure of its own, those behind the accuracy."""
    own = own_keys(entry)
    return [*(key for key in ("acc",) if key in entry["metrics"]), *own] if own else leading_keys(entry["metrics"])


def label(key: str) -> str:
    """Words a measure's key for people: ``acc@phase`` is ``phase``, ``set_f1@anatomy`` is ``anatomy, F1 of names``."""
    name, _, kind = key.partition("@")
    kind = kind.replace("_", " ")
    words = {
        "acc": kind or "all questions",
        "set_f1": f"{kind}: F1 of names",
        "phase_f1_macro": "phase: macro F1",
        "f1_macro": "macro F1",
        "ap_macro": "average precision",
        "auroc": "AUROC",
        "auprc": "AUPRC",
        "bertscore": "BERTScore",
        "rouge_l": "ROUGE-L",
        "bleu_4": "BLEU-4",
        "primary": "mean over questions",
    }
    if kind and name in OF_ANSWERS:
        return f"{kind}: {OF_ANSWERS[name]}"
    return words.get(name, key)


def judge(name: str, entry: Mapping[str, Any]) -> Verdict:
    """Compares the leading measures with the highest baseline that has not seen the video.

    A measure that no such baseline has (a ranking of scores, say) is left to the
    tables, unless it is an accuracy: that must not stand alone unseen.
    """
    lines: list[Line] = []
    for key in _lines_of(entry):
        marks = _marks(key, entry["baselines"])
        blind = [mark for mark in marks if mark.name in BLIND]
        if not blind and not (key == "acc" or key.startswith("acc@")):
            continue
        bar = max(blind, key=lambda mark: mark.value, default=None)
        estimate = entry["metrics"][key]
        ceiling = next((mark.value for mark in marks if mark.name == "ceiling" and mark.value < 0.9995), None)
        lines.append(
            Line(
                label=label(key),
                key=key,
                n=estimate["n"],
                value=estimate["value"],
                low=estimate["low"],
                high=estimate["high"],
                bar=bar,
                others=tuple(mark for mark in marks if mark is not bar and mark.name != "ceiling"),
                ceiling=ceiling,
                outcome=compare(estimate["low"], None if bar is None else bar.value),
                overall=not lines,
            )
        )
    return Verdict(name=name, lines=tuple(lines), leaky=entry["leaky"], warnings=tuple(_warnings(entry)))


def _marks(key: str, baselines: Mapping[str, Any]) -> list[Mark]:
    words = BLIND | OTHER
    return [
        Mark(name=name, words=words.get(name, name), value=float(estimates[key]["value"]))
        for name, estimates in sorted(baselines.items())
        if key in estimates
    ]


def weak_keys(entry: Mapping[str, Any]) -> set[str]:
    """Names the measures that do not beat the highest baseline that has not seen the video."""
    weak = set()
    for key, estimate in entry["metrics"].items():
        blind = [mark.value for mark in _marks(key, entry["baselines"]) if mark.name in BLIND]
        if blind and key.partition("@")[0] not in NO_RACE and compare(estimate["low"], max(blind)) is Outcome.FAILS:
            weak.add(key)
    return weak


def headline(verdicts: Sequence[Verdict]) -> str:
    """Says in one sentence what the run showed."""
    measured = [verdict for verdict in verdicts if verdict.lines]
    if not measured:
        return "Nothing was measured in this run."
    if len(measured) == 1:
        return _of_one(measured[0])
    beats = sum(verdict.outcome is Outcome.BEATS for verdict in measured)
    alone = sum(verdict.outcome is Outcome.ALONE for verdict in measured)
    if alone == len(measured):
        return f"None of {len(measured)} experiments has a baseline to stand beside."
    if beats == len(measured):
        all_of_them = "Both" if beats == 2 else f"All {beats}"
        return f"{all_of_them} experiments beat answering without the video on every measure."
    verb = "beats" if beats == 1 else "beat"
    return f"{beats or 'None'} of {len(measured)} experiments {verb} answering without the video on every measure."


def _of_one(verdict: Verdict) -> str:
    if verdict.leaky:
        return "Training saw cases of the test set: the result says nothing about new ones."
    n, failed = len(verdict.lines), len(verdict.failed)
    if all(line.outcome is Outcome.ALONE for line in verdict.lines):
        return "There is no baseline to say what the result is worth."
    if failed == n:
        return "The model does not beat answering without the video."
    if failed:
        return f"The model beats answering without the video on {n - failed} of {n} measures, and not on {failed}."
    if verdict.outcome is Outcome.ALONE:
        return "The model beats answering without the video wherever there is a baseline."
    return "The model beats answering without the video" + (f" on all {n} measures." if n > 1 else ".")


def _warnings(entry: Mapping[str, Any]) -> list[str]:
    warnings = []
    if entry["unit"] == "clip":
        warnings.append(
            "The predictions name no cases: the intervals treat clips as if they were independent, and are too narrow."
        )
    elif entry["n_cases"] < FEW_CASES:
        cases = "1 case" if entry["n_cases"] == 1 else f"{entry['n_cases']} cases"
        warnings.append(f"Only {cases}: intervals from so few are too narrow.")
    return warnings
