"""Bringing the shards of a run together: clips, objects, samples and what was left out."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

from suture import files, records
from suture.errors import InputError
from suture.records import UNREADABLE, Clip, Rejection, Sample

CUT = "cut"
# What is left out of sound data too: it is counted and reported, and is no fault of the data.
ORDINARY = frozenset(
    {
        "phase_too_short",
        "idle_too_short",
        "second_frame",
        "no_objects",
        "no_clip",
        "not_frontal",
        "no_sections",
        "report_too_short",
        "repeated_entry",
        "spatial_no_reference",
        "spatial_ambiguous",
        "rejected_by_reviewer",
        "awaiting_labels",
        "empty_answer",
        "misspelt_category",
        "left_out_kind",
        "not_of_this_variant",
    }
)
# Faults of cutting that lie with one stretch, not with its media file.
OF_A_CLIP = frozenset({"past_end", "no_frames"})
SHOWN = 5

T = TypeVar("T", Clip, Sample)


@dataclass(frozen=True, kw_only=True)
class Share:
    """How much of one kind of thing could not be used."""

    unusable: int
    total: int

    @property
    def value(self) -> float:
        return self.unusable / self.total if self.total else 0.0


def gather(paths: Iterable[Path], kind: type[T]) -> list[T]:
    """Reads the manifests of all shards, sorted by id.

    Raises:
        InputError: two records with one id; both files are named.
    """
    origin: dict[str, Path] = {}
    found: list[T] = []
    for path in paths:
        for record in records.read(path, kind):
            if record.id in origin:
                raise InputError(
                    f"{kind.__name__.lower()} {record.id!r} occurs twice",
                    where=f"{origin[record.id]}, {path}",
                    fix="a case belongs to one shard: delete the manifests of an earlier run and run again",
                )
            origin[record.id] = path
            found.append(record)
    return sorted(found, key=lambda record: record.id)


def gather_objects(paths: Iterable[Path]) -> dict[str, Any]:
    """Merges the case_objects.json of all shards, sorted by case; frames keep their order of time.

    Raises:
        InputError: a file that is no table of cases, or a case in two files.
    """
    origin: dict[str, Path] = {}
    merged: dict[str, Any] = {}
    for path in paths:
        table = files.read_json(path)
        if not isinstance(table, dict):
            raise InputError("not a table of cases", where=path, fix="make the file with describe_objects.py")
        for case, frames in table.items():
            if case in merged:
                raise InputError(f"case {case!r} occurs twice", where=f"{origin[case]}, {path}")
            origin[case], merged[case] = path, frames
    return {case: merged[case] for case in sorted(merged)}


def gather_rejections(paths: Iterable[Path]) -> list[Rejection]:
    """Reads the rejections of all shards, sorted; what several stages report alike counts once."""
    found = {one for path in paths for one in records.read(path, Rejection)}
    return sorted(found, key=lambda one: (one.stage, one.reason, one.case, one.where, one.detail))


def check_clips(samples: Iterable[Sample], clips: Iterable[Clip]) -> None:
    """Refuses samples that are about no clip, or about one of another case."""
    case_of = {clip.id: clip.case for clip in clips}
    for sample in samples:
        if case_of.get(sample.clip) != sample.case:
            other = f"is of case {case_of[sample.clip]!r}" if sample.clip in case_of else "is not in the clips"
            raise InputError(
                f"sample {sample.id!r} of case {sample.case!r}: its clip {sample.clip!r} {other}",
                fix="delete the manifests of an earlier run and run again",
            )


def shares(clips: Sequence[Clip], samples: Sequence[Sample], rejected: Sequence[Rejection]) -> dict[str, Share]:
    """Returns the shares of media files, of clips and of samples that could not be used.

    Reasons that sound data has too (:data:`ORDINARY`) do not count. A case
    whose annotation cannot be read counts as one media file and one clip: no
    one knows how many it would have given.
    """
    faults = {kind: [one for one in rejected if _counts(kind, one)] for kind in ("media", "clips", "samples")}
    bad_media = {(one.case, media_of(one)) for one in faults["media"]}
    good_media = {(clip.case, clip.source) for clip in clips} - bad_media
    return {
        "media": Share(unusable=len(bad_media), total=len(bad_media) + len(good_media)),
        "clips": Share(unusable=len(faults["clips"]), total=len(faults["clips"]) + len(clips)),
        "samples": Share(unusable=len(faults["samples"]), total=len(faults["samples"]) + len(samples)),
    }


def _counts(kind: str, one: Rejection) -> bool:
    """Tells whether a rejection is a fault of a media file, a clip, or a sample."""
    if one.reason in ORDINARY:
        return False
    if one.reason == UNREADABLE:
        return kind != "samples"
    if kind == "samples":
        return one.stage != CUT
    return one.stage == CUT and (kind == "clips" or one.reason not in OF_A_CLIP)


def media_of(rejection: Rejection) -> str:
    """Returns the media file that a rejection of cutting names: ``<media>, annotation row <n>``."""
    return rejection.where.partition(", annotation row ")[0]


def summary(rejected: Sequence[Rejection], found: dict[str, Share]) -> dict[str, Any]:
    """Returns what rejected.json holds: counts by stage and reason, shares, and all rows."""
    counts: dict[str, Counter[str]] = {}
    for one in rejected:
        counts.setdefault(one.stage, Counter())[one.reason] += 1
    return {
        "counts": {stage: dict(reasons) for stage, reasons in counts.items()},
        "share": {name: round(share.value, 6) for name, share in found.items()},
        "rows": [one.to_json() for one in rejected],
    }


def check_shares(found: dict[str, Share], rejected: Sequence[Rejection], cap: float) -> None:
    """Stops the run where too much of the data could not be used.

    Raises:
        InputError: with the counts and the first rows.
    """
    for name, share in found.items():
        if share.value <= cap:
            continue
        rows = [one for one in rejected if _counts(name, one)]
        counts = Counter(one.reason for one in rows)
        first: dict[object, Rejection] = {}
        for one in rows:
            # One line a media file: the clips of one would fill the list.
            first.setdefault((one.case, media_of(one)) if name == "media" else one, one)
        shown = list(first.values())
        more = [f"... and {len(shown) - SHOWN} more"] if len(shown) > SHOWN else []
        what = "media files" if name == "media" else name
        raise InputError(
            f"{share.unusable} of {share.total} {what} cannot be used ({share.value:.1%}, the cap is {cap:.1%}): "
            + ", ".join(f"{reason} {n}" for reason, n in sorted(counts.items())),
            where="\n         ".join([*(_line(one) for one in shown[:SHOWN]), *more]),
            fix="repair or leave out these, or raise max_rejected in the config",
        )


def _line(one: Rejection) -> str:
    # Some details begin with their place already.
    return f"[{one.case}] {one.detail}" if one.where in one.detail else f"[{one.case}] {one.where}: {one.detail}"
