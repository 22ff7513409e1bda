"""The leak gate: what of the training set is in another split too, so that a score could come from memory.

Cases, clips and media files are compared by what the manifests record of them
(:mod:`suture.overlap`). The same scene in two files - cut, scaled or encoded
again, under another name - is found by its frames: hashes that differ in few
bits, and then the pictures themselves (:mod:`suture.perceptual_hash`).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from itertools import combinations

import numpy as np
from numpy.typing import NDArray

from suture import overlap
from suture.errors import InputError
from suture.perceptual_hash import hashes, likeness
from suture.progress import progress
from suture.records import Clip, Sample

FRAMES = "frames"
"""Kind of a leak that is seen in the frames alone."""

ALIKE = 0.97
"""Least correlation of the same picture. Measured at 56x56 on drawn surgeries: JPEG of quality 30, noise, half the
size and other light keep 0.98 in nine of ten frames; those of different cases whose hashes are near reach 0.965."""

SHOWN = 5
"""How many leaks a refusal lists; the others are in the log."""


@dataclass(frozen=True, order=True)
class Leak:
    """Two clips of two splits that share something.

    ``kind`` is case, clip, clip media, source media or frames. ``value`` is the
    shared id or digest; for frames it says how many of them.
    """

    kind: str
    left_split: str
    left_clip: str
    right_split: str
    right_clip: str
    value: str

    def __str__(self) -> str:
        left, right = f"{self.left_clip} ({self.left_split})", f"{self.right_clip} ({self.right_split})"
        return f"{self.kind}: clip {left} and clip {right}: {self.value}"

    def to_json(self) -> dict[str, str]:
        """Returns the leak as plain JSON values."""
        return asdict(self)


def recorded(splits: Mapping[str, Sequence[Sample]], clips: Mapping[str, Clip]) -> list[Leak]:
    """Returns each case, clip and media digest that two splits share, with the first clip of each side."""
    clip_of = {sample.id: sample.clip for samples in splits.values() for sample in samples}
    return [
        Leak(one.what, one.left_split, clip_of[one.left], one.right_split, clip_of[one.right], one.value)
        for one in overlap.find(splits, clips)
    ]


@dataclass(frozen=True)
class _Side:
    """A split's clips with their hashes, one behind the other: those of clip k are bits[starts[k]:starts[k + 1]]."""

    clips: list[str]
    bits: NDArray[np.uint64]
    starts: NDArray[np.intp]

    def of(self, number: int) -> slice:
        return slice(self.starts[number], self.starts[number + 1])


def alike(splits: Mapping[str, Mapping[str, NDArray[np.uint64]]], *, distance: int, share: float) -> list[Leak]:
    """Finds clips of different splits that show the same frames.

    Args:
        splits: of each split, its clips' hashes, uint64 [frames]; those of flat frames left out.
        distance: bits in which hashes of the same frame may differ.
        share: of either clip's frames, so many must be found in the other one: a clip that lies within a longer
            one is found, a single title or test card in two videos is not.

    Returns:
        Sorted pairs.
    """
    sides = {name: _side(hashes) for name, hashes in splits.items()}
    found = []
    for left, right in combinations(sides, 2):
        one, other = sides[left], sides[right]
        for number, name in enumerate(progress(other.clips, what=f"frames of {left} in {right}", unit="clip")):
            for match, told in _matches(one, other.bits[other.of(number)], distance, share):
                found.append(Leak(FRAMES, left, one.clips[match], right, name, told))
    return sorted(found)


def _side(hashes: Mapping[str, NDArray[np.uint64]]) -> _Side:
    # A clip of flat frames alone is like no other.
    clips = sorted(clip for clip, bits in hashes.items() if len(bits))
    ends = np.cumsum([0, *(len(hashes[clip]) for clip in clips)])
    return _Side(clips, np.concatenate([np.zeros(0, np.uint64), *(hashes[clip] for clip in clips)]), ends)


def _matches(side: _Side, bits: NDArray[np.uint64], distance: int, share: float) -> list[tuple[int, str]]:
    """Returns the clips of a side that a clip with these hashes is like, and in how many frames."""
    near = np.bitwise_count(side.bits[:, None] ^ bits[None]) <= distance
    running = np.concatenate([[0], np.cumsum(near.any(axis=1))])
    theirs = np.diff(running[side.starts])  # frames of each of the side's clips that are in this one
    found = []
    for number in np.flatnonzero(theirs).tolist():
        block = near[side.of(number)]
        ours = int(block.any(axis=0).sum())
        seen, among = max((int(theirs[number]), len(block)), (ours, len(bits)), key=lambda pair: pair[0] / pair[1])
        if seen >= share * among:
            found.append((number, f"{seen} of {among} frames differ in at most {distance} of 64 bits"))
    return found


def seen(
    found: Sequence[Leak], frames_of: Callable[[str], NDArray[np.uint8]], *, distance: int, share: float
) -> list[Leak]:
    """Keeps of the pairs that :func:`alike` found those whose pictures are alike too, in colour and in detail.

    Args:
        found: pairs by their hashes.
        frames_of: a clip's frames, uint8 [n, height, width, RGB].
        distance: as for :func:`alike`.
        share: as for :func:`alike`.
    """
    kept = []
    for leak in progress(found, what="look at alike frames", unit="pair"):
        one, other = frames_of(leak.left_clip), frames_of(leak.right_clip)
        left, right = hashes(one), hashes(other)
        near = np.bitwise_count(left.bits[:, None] ^ right.bits[None]) <= distance
        near &= ~left.flat[:, None] & ~right.flat[None] & (likeness(one, other) >= ALIKE)
        parts = (
            (int(near.any(axis=1).sum()), int((~left.flat).sum())),
            (int(near.any(axis=0).sum()), int((~right.flat).sum())),
        )
        same, among = max(parts, key=lambda part: part[0] / part[1])
        if same >= share * among:
            kept.append(replace(leak, value=f"{same} of {among} frames are the same picture"))
    return kept


def check(leaks: Sequence[Leak]) -> None:
    """Stops on any leak.

    Raises:
        InputError: naming both clips of the first ones, and how many there are.
    """
    if not leaks:
        return
    # One of each kind comes first: ten thousand frames must not hide a case.
    first = {leak.kind: leak for leak in reversed(leaks)}
    shown = [*first.values(), *(leak for leak in leaks if leak not in first.values())][:SHOWN]
    more = f"\n         and {len(leaks) - len(shown)} more, in the log" if len(leaks) > len(shown) else ""
    raise InputError(
        f"{len(leaks)} {'leak' if len(leaks) == 1 else 'leaks'} between the splits: what is trained on would be scored",
        where="\n         ".join(map(str, sorted(shown))) + more,
        fix="assign their cases to one split (split.assign) or take one of the clips out; "
        "leaks.on_leak: report goes on and marks every score leaky",
    )
