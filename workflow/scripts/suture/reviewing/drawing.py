"""Draws the answers that a clinician is asked to judge: each kind and phase as often as in the data, over all cases."""

from __future__ import annotations

import hashlib
from collections import Counter, defaultdict
from collections.abc import Container, Iterable, Mapping
from dataclasses import dataclass

from suture.records import Sample, Turn

Stratum = tuple[str, str]
"""Kind of question and phase."""


@dataclass(frozen=True, kw_only=True)
class Asked:
    """One answer to be judged: turn ``number`` (from 0) of a sample."""

    sample: Sample
    number: int

    @property
    def turn(self) -> Turn:
        """The question and its gold answer."""
        return self.sample.turns[self.number]

    @property
    def stratum(self) -> Stratum:
        """What the draw is proportional to."""
        return self.turn.kind, self.sample.phase


def quotas(sizes: Mapping[Stratum, int], count: int) -> dict[Stratum, int]:
    """Divides ``count`` over strata in proportion to their sizes, at least one to each where there are enough.

    Proportional, so that the share of wrong answers among those drawn stands for the share among all.
    """
    total = sum(sizes.values())
    if count >= total:
        return dict(sizes)
    given = {stratum: int(count >= len(sizes)) for stratum in sorted(sizes)}
    for _ in range(count - sum(given.values())):
        open_ones = [stratum for stratum in given if given[stratum] < sizes[stratum]]
        # The one that is furthest behind its share.
        given[max(open_ones, key=lambda one: count * sizes[one] / total - given[one])] += 1
    return given


def draw(samples: Iterable[Sample], count: int, *, seed: int, judged: Container[tuple[str, int]] = ()) -> list[Asked]:
    """Draws answers, stratified by kind and phase, and within a stratum from the cases least drawn from so far.

    Args:
        samples: to draw from.
        count: answers to draw.
        seed: decides chance.
        judged: (sample id, turn) that are not drawn again.

    Returns:
        at most ``count``, those about one clip together, clips in an order of chance.
    """
    strata: dict[Stratum, list[Asked]] = defaultdict(list)
    for sample in samples:
        for number in range(len(sample.turns)):
            one = Asked(sample=sample, number=number)
            if (sample.id, number) not in judged:
                strata[one.stratum].append(one)
    wanted = quotas({stratum: len(members) for stratum, members in strata.items()}, count)
    taken: Counter[str] = Counter()
    drawn: list[Asked] = []
    for stratum in sorted(strata):
        left = sorted(strata[stratum], key=lambda one: _chance(seed, one.sample.id, str(one.number)))
        for _ in range(wanted[stratum]):
            # The first, by chance, of the cases that have given least.
            one = min(left, key=lambda one: taken[one.sample.case])
            left.remove(one)
            taken[one.sample.case] += 1
            drawn.append(one)
    return sorted(drawn, key=lambda one: (_chance(seed, one.sample.clip), one.sample.id, one.number))


def _chance(seed: int, *names: str) -> str:
    return hashlib.sha256("\0".join([str(seed), *names]).encode()).hexdigest()
