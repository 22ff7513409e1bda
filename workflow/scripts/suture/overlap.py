"""The overlap gate: what two splits share, so that a score cannot come from memory.

Three things may not stand on two sides: a case, a clip, and a media file
(by the sha256 of the clip and of the video it was cut from).
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from itertools import combinations

from suture.errors import InputError
from suture.records import Clip, Sample

SHOWN = 5
"""How many overlapping pairs a refusal lists."""


@dataclass(frozen=True, order=True)
class Overlap:
    """One thing in two splits: ``what`` is case, clip, clip media or source media; ``left``, ``right`` name samples."""

    what: str
    value: str
    left_split: str
    left: str
    right_split: str
    right: str

    def __str__(self) -> str:
        return f"{self.what} {self.value}: {self.left} in {self.left_split}, {self.right} in {self.right_split}"

    def to_json(self) -> dict[str, str]:
        """Returns the overlap as plain JSON values."""
        return asdict(self)


def find(splits: Mapping[str, Sequence[Sample]], clips: Mapping[str, Clip]) -> list[Overlap]:
    """Returns every value that two splits share, sorted, with the first sample of each side."""
    seen = {split: _values(samples, clips) for split, samples in splits.items()}
    return sorted(
        Overlap(what, value, left, seen[left][what, value], right, seen[right][what, value])
        for left, right in combinations(seen, 2)
        for what, value in seen[left].keys() & seen[right].keys()
    )


def check(overlaps: Sequence[Overlap]) -> None:
    """Stops on any overlap.

    Raises:
        InputError: naming the first overlapping pairs and how many there are.
    """
    if not overlaps:
        return
    lines = [str(one) for one in overlaps[:SHOWN]]
    more = f"\n         and {len(overlaps) - SHOWN} more" if len(overlaps) > SHOWN else ""
    raise InputError(
        f"{len(overlaps)} overlaps between the splits: what is trained on would be scored",
        where="\n         ".join(lines) + more,
        fix="assign these cases to one split; --allow-leaks keeps the split and marks it leaky",
    )


def _values(samples: Iterable[Sample], clips: Mapping[str, Clip]) -> dict[tuple[str, str], str]:
    first: dict[tuple[str, str], str] = {}
    for sample in sorted(samples, key=lambda one: one.id):
        clip = clips[sample.clip]
        found = {
            ("case", sample.case),
            ("case", clip.case),
            ("clip", clip.id),
            ("clip media", clip.sha256),
            ("source media", clip.source_sha256),
        }
        for what, value in found:
            if value:  # planned clips have no media and no digest
                first.setdefault((what, value), sample.id)
    return first
