"""Puts the page together. The template and its style are in workflow/report/."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import jinja2

from suture.reporting import plots
from suture.reporting.dag import Drawing
from suture.reporting.inputs import LeftOut, Series, Settings
from suture.reporting.samples import Gallery
from suture.reporting.splits import SplitTable
from suture.reporting.verdict import Outcome, Verdict, judge

TEMPLATES = Path(__file__).parents[3] / "report"

LARGEST = 15_000_000
"""Bytes of the page, at most: it must go through a mail gateway."""


@dataclass(frozen=True, kw_only=True)
class Page:
    """Everything the template shows; ``galleries`` is None where the data may not travel.

    ``full`` is the number of strips that found no room."""

    run: str
    made: str
    sharing: str
    metrics: Mapping[str, Any]
    settings: Settings
    drawing: Drawing
    split: SplitTable
    left_out: LeftOut
    losses: Mapping[str, Series]
    galleries: Sequence[Gallery] | None
    full: int
    ledger: Sequence[Mapping[str, Any]]


def percent(value: float) -> str:
    """Writes a share as a percentage with one decimal, without the sign."""
    return f"{100 * value:.1f}"


def _headline(verdicts: Sequence[Verdict]) -> str:
    lines = [line for verdict in verdicts for line in verdict.lines]
    failed = sum(line.outcome is Outcome.FAILS for line in lines)
    alone = sum(line.outcome is Outcome.ALONE for line in lines)
    if not lines:
        return "Nothing was measured in this run."
    if failed:
        verb = "does" if failed == 1 else "do"
        return f"{failed} of {len(lines)} accuracies {verb} not beat the majority answer."
    if alone:
        return f"{alone} of {len(lines)} accuracies stand without a baseline."
    if len(lines) == 1:
        return "The one accuracy measured is above the majority answer."
    return f"All {len(lines)} accuracies are above the majority answer."


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
    verdicts = [judge(name, entry) for name, entry in sorted(experiments.items())]
    outcomes = {outcome.name: outcome for outcome in Outcome}
    return environment.get_template("page.html.j2").render(
        **{field.name: getattr(page, field.name) for field in dataclasses.fields(page)},
        verdicts=verdicts,
        headline=_headline(verdicts),
        worst=next((o for o in (Outcome.FAILS, Outcome.ALONE) if any(v.outcome is o for v in verdicts)), Outcome.BEATS),
        leaky=[verdict.name for verdict in verdicts if verdict.leaky],
        outcomes=outcomes,
        curves={name: plots.plot(series) for name, series in sorted(page.losses.items())},
        style=(TEMPLATES / "page.css").read_text(encoding="utf-8"),
    )
