"""Samples from the questions that a dataset's publisher already wrote."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path, PurePosixPath

from suture import files, sources, windows
from suture.datasets.base import Adapter
from suture.records import Case, Clip, Rejection, Sample, Segment
from suture.windows import sanitise

STAGE = "ingest"

# Given a case, a segment and the id that cutting gives its clip: the reason why it cannot be used, or None.
Check = Callable[[Case, Segment, str], tuple[str, str] | None]


def samples(case: Case, check: Check) -> tuple[list[Sample], list[Rejection]]:
    """Makes one sample of each segment that has questions; its id is that of its clip.

    Clip ids are those that cutting gives (:func:`windows.plan_case`). Rejections:
    the adapter's own, those of ``check``, and not_a_clip for questions about a
    stretch that is cut into windows, so that no single clip answers them.
    """
    made: list[Sample] = []
    rejected = list(case.rejected)
    for segment, clip in _clips(case):
        problem = check(case, segment, clip) if segment.whole else ("not_a_clip", "its stretch is cut into windows")
        if problem is None:
            made.append(
                Sample(
                    id=clip,
                    case=case.id,
                    clip=clip,
                    phase=segment.label,
                    turns=segment.turns,
                    origin="annotation",
                )
            )
        else:
            reason, detail = problem
            where = f"{segment.media}, {segment.place}"
            detail = f"{case.id}, {where}: {detail}"
            rejected.append(Rejection(stage=STAGE, reason=reason, case=case.id, where=where, detail=detail))
    return made, rejected


def without_kinds(case: Case, left_out: Sequence[str]) -> Case:
    """Takes questions of some kinds out of a case; each kind that occurs is counted in one rejection."""
    rejected = list(case.rejected)
    for kind in left_out:
        had = [segment for segment in case.segments if any(turn.kind == kind for turn in segment.turns)]
        count = sum(turn.kind == kind for segment in had for turn in segment.turns)
        if had:
            detail = f"{case.id}: {count} questions of kind {kind} about {len(had)} images or stretches"
            rejected.append(Rejection(stage=STAGE, reason="left_out_kind", case=case.id, where=kind, detail=detail))
    segments = tuple(
        replace(segment, turns=tuple(turn for turn in segment.turns if turn.kind not in left_out))
        for segment in case.segments
    )
    return replace(case, segments=segments, rejected=tuple(rejected))


def apart(samples: Sequence[Sample]) -> list[Sample]:
    """Makes each question a sample of its own: ``<clip>.<kind>``, or ``<clip>.<number>`` where a kind occurs twice."""
    made = []
    for sample in samples:
        kinds = [turn.kind for turn in sample.turns]
        for number, turn in enumerate(sample.turns, start=1):
            name = sanitise(turn.kind) if kinds.count(turn.kind) == 1 and sanitise(turn.kind) else str(number)
            made.append(replace(sample, id=f"{sample.id}.{name}", turns=(turn,)))
    return made


def _clips(case: Case) -> Iterator[tuple[Segment, str]]:
    """Yields the segments that have questions, each with its clip's id ('' where it gives no single clip)."""
    planned, _ = windows.plan_case(case, mode="exact")
    ids = {(one.media, one.start_s, one.end_s, one.frames): one.id for one in planned}
    for segment in case.segments:
        if segment.turns:
            yield segment, ids.get((segment.media, segment.start_s, segment.end_s, segment.frames), "")


def any_media() -> Check:
    """Accepts every segment: no media is looked for."""
    return lambda case, segment, clip: None


def cut_clips(clips: list[Clip]) -> Check:
    """Accepts the segments whose clip has been cut, from the same file and start."""
    by_id = {clip.id: clip for clip in clips}

    def check(case: Case, segment: Segment, name: str) -> tuple[str, str] | None:
        clip = by_id.get(name)
        if clip is None:
            return "clip_missing", f"clip {name} was not cut; the reason is among the rejections of cutting"
        if clip.case != case.id or abs(clip.start_s - segment.start_s) > 0.001:
            return "clip_differs", f"clip {name} is of case {clip.case} from {clip.start_s:g} s: cut again"
        return None

    return check


def media_under(videos: Path, adapter: Adapter, root: Path) -> Check:
    """Accepts the segments whose media file exists; a case with one file needs no matching name."""
    existing: dict[str, list[Path]] = {}

    def check(case: Case, segment: Segment, clip: str) -> tuple[str, str] | None:
        if case.id not in existing:
            existing[case.id] = adapter.case_media(root, videos, case.id)
        # Sheets often leave out a suffix, or write a name in another case.
        named = {path.stem.casefold() for path in existing[case.id]}
        for name in segment.files:
            wanted = PurePosixPath(name)
            stem = wanted.stem.casefold()
            known = {stem, wanted.name.casefold(), *sources.endings(stem)} & named
            if not known and not files.inside(videos, name).is_file():
                return "media_missing", f"no file {name} under {videos.name}/"
        return None

    return check
