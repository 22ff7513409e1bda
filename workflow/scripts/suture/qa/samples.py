"""Makes samples of facts by way of a back end."""

from __future__ import annotations

from collections.abc import Iterable

from suture.qa.base import Backend, Facts
from suture.records import Sample


def make(facts: Iterable[Facts], backend: Backend) -> list[Sample]:
    """Returns one sample a clip, in the order of the facts; a clip without any turn gives none."""
    written = ((one, backend.write(one)) for one in facts)
    return [
        Sample(
            id=one.clip,
            case=one.case,
            clip=one.clip,
            phase=one.phase,
            turns=turns,
            objects=one.anatomy + one.instruments,
            origin=backend.ORIGIN,
        )
        for one, turns in written
        if turns
    ]
