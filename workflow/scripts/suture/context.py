"""What the measures are told beside the rows: labels, the dataset's names, an encoder of texts."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from importlib import import_module
from pathlib import Path

from suture import registry
from suture.datasets.base import passed_over, synonyms
from suture.errors import InputError
from suture.report_scores import ReportScore
from suture.tasks.base import Context, Likeness


def make_context(
    *,
    labels: Sequence[str] = (),
    positive: str | None = None,
    adapter: str | None = None,
    published: bool = False,
    bertscore: Likeness | None = None,
    report_scores: Mapping[str, ReportScore] | None = None,
) -> Context:
    """Gathers it.

    Args:
        labels: the closed set of answers, in its official order; () where it is not known.
        positive: the class looked for, of two.
        adapter: name of the dataset adapter that tells the names of objects and phases.
        published: also what a publisher selected by.
        bertscore: compares reports by meaning.
        report_scores: what measure_reports.py wrote.
    """
    if adapter is None:
        return Context(
            labels=tuple(labels),
            positive=positive,
            published=published,
            bertscore=bertscore,
            report_scores=report_scores or {},
        )
    dataset = registry.dataset(adapter)
    return Context(
        labels=tuple(labels),
        positive=positive,
        objects={kind: frozenset(synonyms(dataset, kind)) for kind in sorted(set(dataset.OBJECT_KINDS.values()))},
        synonyms=synonyms(dataset),
        passed_over=passed_over(dataset),
        phases=tuple(getattr(dataset, "PHASES", ())),
        published=published,
        bertscore=bertscore,
        report_scores=report_scores or {},
    )


def load_encoder(folder: Path, layer: int | None) -> Likeness:
    """Loads the encoder of BERTScore. By name: torch is no part of the scoring environments, unless asked for.

    Raises:
        InputError: torch is not installed, or the folder holds no encoder.
    """
    try:
        found: Likeness = import_module("suture.measures.bertscore").BertScore(folder, layer)
    except ModuleNotFoundError as error:
        raise InputError(
            f"BERTScore needs {error.name}, which is not installed here",
            fix="use the environment of requirements.lock, or leave --bertscore out",
        ) from error
    return found
