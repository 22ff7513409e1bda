"""Puts the page together. The template and its style are in workflow/report/."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import jinja2

from suture.reporting import breakdown, by_question, plots, verdict
from suture.reporting.dag import Drawing
from suture.reporting.inputs import LeftOut, Series, Settings
from suture.reporting.jobs import Jobs
from suture.reporting.questions import Quality
from suture.reporting.samples import CaseScore, Gallery
from suture.reporting.splits import SplitTable
from suture.reporting.used import Row as UsedRow
from suture.reporting.verdict import BLIND, OTHER, Verdict
from suture.reviewing.rate import Reviewed

TEMPLATES = Path(__file__).parents[3] / "report"

LARGEST = 15_000_000
"""Bytes of the page, at most: it must go through a mail gateway."""


@dataclass(frozen=True, kw_only=True)
class Page:
    """Everything the template shows; ``galleries`` is None where the data may not travel.

    ``private``: the data are credentialed and the page is for those who may see
    them. ``cases`` has each experiment's scores by case. ``thinned`` strips have
    fewer frames than others, ``full`` found no room. ``sampling`` are the numbers of the sampling dashboard.
    """

    run: str
    made: str
    sharing: str
    private: bool
    metrics: Mapping[str, Any]
    settings: Settings
    drawing: Drawing
    split: SplitTable
    left_out: LeftOut
    losses: Mapping[str, Series]
    galleries: Sequence[Gallery] | None
    cases: Mapping[str, Sequence[CaseScore]]
    thinned: int
    full: int
    jobs: Jobs | None
    used: Sequence[UsedRow]
    quality: Quality | None
    review: Reviewed | None
    sampling: Sequence[Mapping[str, Any]]

    @property
    def named(self) -> bool:
        """Whether cases, and answers, may be named."""
        return self.private or self.sharing != "credentialed"


def percent(value: float) -> str:
    """Writes a share as a percentage with one decimal, without the sign."""
    return f"{100 * value:.1f}"


def is_judged(entry: Mapping[str, Any]) -> bool:
    """Whether an experiment's answers are right or wrong; reports are more or less like the gold text."""
    return "acc" in entry["metrics"]


def _ranked(verdicts: Sequence[Verdict]) -> list[Verdict]:
    """Puts the highest first, accuracies before other measures; those without a number last."""

    def order(one: Verdict) -> tuple[int, float, str]:
        line = one.leading
        return (2, 0.0, one.name) if line is None else (line.key != "acc", -line.value, one.name)

    return sorted(verdicts, key=order)


def render(page: Page) -> str:
    """Renders the page as one HTML text without references to other files.

    All values are escaped by the template engine, except our own style sheet; an undefined name in the
    template is an error.
    """
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(TEMPLATES),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters["percent"] = percent
    experiments = page.metrics["experiments"]
    verdicts = [verdict.judge(name, entry) for name, entry in sorted(experiments.items())]
    drawn = {mark for one in verdicts for mark in one.marks}
    ranked = _ranked(verdicts)
    place = {one.name: i for i, one in enumerate(ranked)}
    fields = {field.name: getattr(page, field.name) for field in dataclasses.fields(page)}
    if page.galleries is not None:
        fields["galleries"] = sorted(
            page.galleries, key=lambda one: (place.get(one.experiment, len(place)), one.experiment)
        )
    return environment.get_template("page.html.j2").render(
        **fields,
        named=page.named,
        verdicts=verdicts,
        ranked=ranked,
        headline=verdict.headline(verdicts),
        worst=verdict.worst(one.outcome for one in verdicts),
        leaky=[one.name for one in verdicts if one.leaky],
        marks=[name for name in (*BLIND, *OTHER) if name in drawn],
        words=BLIND | OTHER,
        weak={name: verdict.weak_keys(entry) for name, entry in experiments.items()},
        apart={
            name: breakdown.take_apart(entry, page.cases.get(name, ()), judged=is_judged(entry), with_words=page.named)
            for name, entry in experiments.items()
        },
        by_question=by_question.compile_questions(experiments),
        curves={name: plots.plot(series) for name, series in sorted(page.losses.items())},
        style=(TEMPLATES / "page.css").read_text(encoding="utf-8"),
    )
