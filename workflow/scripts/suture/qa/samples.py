"""Makes samples of facts by way of a back end."""

from __future__ import annotations

from collections.abc import Iterable

from suture.qa.base import Backend, Facts
from suture.records import Sample, Turn


def make(facts: Iterable[Facts], backend: Backend) -> list[Sample]:
    """Returns one sample a clip, in the order of the facts; a clip without any turn gives none."""
    written = ((one, backend.write(one)) for one in facts)
    return [sample_of(one, turns, backend.ORIGIN) for one, turns in written if turns]


def sample_of(facts: Facts, turns: tuple[Turn, ...], origin: str) -> Sample:
    """Returns the sample of a clip."""
    return Sample(
        id=facts.clip,
        case=facts.case,
        clip=facts.clip,
        phase=facts.phase,
        turns=turns,
        objects=facts.anatomy + facts.instruments,
        origin=origin,
    )
