"""Where a case is cut: from annotated segments to named stretches of time.

Planning only: no video is opened here. Times are seconds from the start of the
media. The published windows lie around the multiples of 5 s, where the frames
of the segmentation set were taken: [2.5, 7.5), [7.5, 12.5), ...; the first and
the last of a phase stretch to the phase's own borders
(umurkarakas/surgery-sft, data_utils/cut_videos.py).
"""

from __future__ import annotations

import hashlib
import math
import re
from collections.abc import Iterable
from dataclasses import dataclass
from itertools import pairwise
from pathlib import PurePosixPath

from suture.records import Case, Rejection, Segment, annotation_place

Window = tuple[float, float]

INTERVAL_S = 5.0
MIN_CLIP_S = 2.5
MAX_CLIP_S = 7.5
IDLE = "idle"

_UNSAFE = re.compile(r'[<>:"/\\|?*.\s]+')
# It begins with a letter: clip names end in a time such as "_25.34".
_MEDIA_SUFFIX = re.compile(r"\.[A-Za-z][A-Za-z0-9]{1,4}$")
_LONGEST_NAME = 180  # bytes; file systems take 255, temporary names and suffixes need some of them


@dataclass(frozen=True, kw_only=True)
class PlannedClip:
    """A clip before its media is opened; ``end_s`` None: to the end of the media, or an image.

    ``frames``: the images of a run, in order, where it is made of such.
    """

    id: str
    phase: str
    start_s: float
    end_s: float | None
    media: str
    row: int
    annotation: str = ""
    beside: tuple[str, ...] = ()
    frames: tuple[str, ...] = ()

    @property
    def files(self) -> tuple[str, ...]:
        """Names of the media files that it is made of."""
        return self.frames or (self.media, *self.beside)

    @property
    def place(self) -> str:
        """Where it is annotated, for a reader."""
        return annotation_place(self.row, self.annotation)


def published_windows(start_s: float, end_s: float) -> list[Window]:
    """Cuts a phase as the published script does.

    Lengths lie between 0 and 10 s. A phase that ends exactly where its first
    window would end gives none: the script's loop compares those two before it
    starts.
    """
    if _first_border(start_s) == end_s:
        return []
    return _aligned(start_s, end_s)


def exact_windows(start_s: float, end_s: float) -> list[Window]:
    """Cuts a phase into windows of 2.5 to 7.5 s that cover it exactly, in order.

    They are the published windows; one over 7.5 s is halved, to the
    millisecond. No rest under 2.5 s can be left at a border: the first window
    ends, and the last one starts, at least 2.5 s within the phase.

    Returns:
        The windows; none if the phase is shorter than 2.5 s.
    """
    if _length(start_s, end_s) < MIN_CLIP_S:
        return []
    windows: list[Window] = []
    for a, b in _aligned(start_s, end_s):
        if _length(a, b) > MAX_CLIP_S:
            middle = round((a + b) / 2, 3)
            windows += [(a, middle), (middle, b)]
        else:
            windows.append((a, b))
    return windows


def _first_border(start_s: float) -> float:
    return start_s // INTERVAL_S * INTERVAL_S + MAX_CLIP_S


def _aligned(start_s: float, end_s: float) -> list[Window]:
    first, last = math.floor(start_s / INTERVAL_S) + 1, math.floor(end_s / INTERVAL_S)
    borders = [k * INTERVAL_S + MIN_CLIP_S for k in range(first, last)]
    return list(pairwise([start_s, *borders, end_s]))


def _length(start_s: float, end_s: float) -> float:
    # 12.7 - 10.2 is 2.4999999999999982 as floats.
    return round(end_s - start_s, 6)


def sanitise(text: str) -> str:
    """Makes a piece of a file name as the published script does."""
    return _UNSAFE.sub("_", text).strip("_")


def without_suffix(name: str) -> str:
    """Returns a clip's file name without the suffix of its medium, if it has one: ``X_25.34.mp4`` is ``X_25.34``."""
    return _MEDIA_SUFFIX.sub("", name)


def plan_case(case: Case, *, mode: str, idle: bool = False) -> tuple[list[PlannedClip], list[Rejection]]:
    """Plans the clips of one case.

    Args:
        case: the annotated case.
        mode: ``exact`` or ``published``.
        idle: also cut what lies before the first and between the phases of each media file, labelled ``idle``.

    Returns:
        The clips in order of media and time, ids unique within the case, and
        what is left out: the adapter's own rejections, and phases too short.
    """
    cut = {"exact": exact_windows, "published": published_windows}[mode]
    segments = [*case.segments, *(_gaps(case.segments) if idle else ())]
    clips: list[PlannedClip] = []
    rejected = list(case.rejected)
    taken: set[str] = set()
    for segment in sorted(segments, key=_order):
        windows: list[tuple[float, float | None]]
        if segment.whole or segment.end_s is None:
            windows = [(segment.start_s, segment.end_s)]
        else:
            windows = [*cut(segment.start_s, segment.end_s)]
            if not windows:
                rejected.append(_too_short(case.id, segment, segment.end_s))
        for start_s, end_s in windows:
            clips.append(
                PlannedClip(
                    id=_unique(_name(case.id, segment, start_s, end_s), taken),
                    phase=segment.label,
                    start_s=start_s,
                    end_s=end_s,
                    media=segment.media,
                    row=segment.row,
                    annotation=segment.annotation,
                    beside=segment.beside,
                    frames=segment.frames,
                )
            )
    return clips, rejected


def _order(segment: Segment) -> tuple[str, float, float, int, str, tuple[str, ...]]:
    end_s = math.inf if segment.end_s is None else segment.end_s
    return (segment.media, segment.start_s, end_s, segment.row, segment.published, segment.frames)


def _gaps(segments: Iterable[Segment]) -> list[Segment]:
    gaps = []
    reached: dict[str, float] = {}
    for segment in sorted(segments, key=_order):
        if segment.whole or segment.end_s is None:
            continue
        before = reached.get(segment.media, 0.0)
        if segment.start_s > before:
            gaps.append(
                Segment(
                    label=IDLE,
                    published=IDLE,
                    media=segment.media,
                    start_s=before,
                    end_s=segment.start_s,
                    row=segment.row,
                )
            )
        reached[segment.media] = max(before, segment.end_s)
    return gaps


def _too_short(case: str, segment: Segment, end_s: float) -> Rejection:
    kind = "idle" if segment.label == IDLE else "phase"
    return Rejection(
        stage="cut",
        reason=f"{kind}_too_short",
        case=case,
        where=f"{segment.media}, {segment.place}",
        detail=f"{segment.published} from {segment.start_s:g} to {end_s:g} s gives no clip",
    )


def _name(case: str, segment: Segment, start_s: float, end_s: float | None) -> str:
    if end_s is None:
        stem = PurePosixPath(segment.media).stem
        parts = [sanitise(case), sanitise(segment.published), "" if stem == case else sanitise(stem)]
        if start_s:
            parts.append(f"{start_s:.2f}")
    else:
        parts = [sanitise(case), sanitise(segment.published), f"{start_s:.2f}", f"{end_s:.2f}"]
    name = "_".join(part for part in parts if part)
    if len(name.encode()) > _LONGEST_NAME:
        digest = hashlib.sha256(name.encode()).hexdigest()[:12]
        name = f"{name.encode()[:_LONGEST_NAME].decode(errors='ignore')}_{digest}"
    return name


def _unique(name: str, taken: set[str]) -> str:
    # Compared without case: some file systems do not tell A from a.
    candidate, number = name, 2
    while candidate.casefold() in taken:
        candidate = f"{name}_{number}"
        number += 1
    taken.add(candidate.casefold())
    return candidate
