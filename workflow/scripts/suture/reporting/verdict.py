"""Does an experiment beat its baseline? The comparison that leads the page."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

BASELINE = "majority"
FEW_CASES = 10


class Outcome(StrEnum):
    """How a number stands to its baseline."""

    BEATS = "beats"
    FAILS = "fails"
    ALONE = "alone"


WORDS = {
    Outcome.BEATS: "beats majority",
    Outcome.FAILS: "does not beat majority",
    Outcome.ALONE: "no baseline",
}


@dataclass(frozen=True, kw_only=True)
class Line:
    """One number of an experiment beside its baseline; all values as shares of 1."""

    label: str
    key: str
    n: int
    value: float
    low: float
    high: float
    baseline: float | None
    outcome: Outcome
    overall: bool

    @property
    def words(self) -> str:
        """The outcome as a reader sees it."""
        return WORDS[self.outcome]


@dataclass(frozen=True, kw_only=True)
class Verdict:
    """An experiment's lines, the overall one first, and what to beware of."""

    name: str
    lines: tuple[Line, ...]
    leaky: bool
    warnings: tuple[str, ...]

    @property
    def failed(self) -> tuple[Line, ...]:
        """Lines that do not beat their baseline."""
        return tuple(line for line in self.lines if line.outcome is Outcome.FAILS)

    @property
    def outcome(self) -> Outcome:
        """The worst that any line shows."""
        outcomes = {line.outcome for line in self.lines}
        for worst in (Outcome.FAILS, Outcome.ALONE):
            if worst in outcomes or not outcomes:
                return worst
        return Outcome.BEATS


def compare(low: float, baseline: float | None) -> Outcome:
    """Judges an interval's lower end: an interval that reaches the baseline's value does not beat it."""
    if baseline is None:
        return Outcome.ALONE
    return Outcome.BEATS if low > baseline else Outcome.FAILS


def judge(name: str, entry: Mapping[str, Any]) -> Verdict:
    """Compares accuracy, overall and by kind of question, with the majority baseline."""
    lines = []
    # "acc" sorts before "acc@...": the overall number leads.
    for key in sorted(key for key in entry["metrics"] if key == "acc" or key.startswith("acc@")):
        estimate = entry["metrics"][key]
        reference = entry["baselines"].get(BASELINE, {}).get(key)
        baseline = None if reference is None else float(reference["value"])
        lines.append(
            Line(
                label="all questions" if key == "acc" else key.removeprefix("acc@"),
                key=key,
                n=estimate["n"],
                value=estimate["value"],
                low=estimate["low"],
                high=estimate["high"],
                baseline=baseline,
                outcome=compare(estimate["low"], baseline),
                overall=key == "acc",
            )
        )
    return Verdict(name=name, lines=tuple(lines), leaky=entry["leaky"], warnings=tuple(_warnings(entry)))


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
