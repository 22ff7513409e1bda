"""The frame cache: each clip decoded once, its frames at the model's size, ready to be mapped into memory.

One shard is one ``.npy`` array, uint8 [frames of all its clips, height, width, RGB],
and a manifest with one line a clip that tells which rows are whose. A clip that
could not be read has a line too, with the reason and no rows, so that a reader can
tell a counted rejection from a clip that was forgotten.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

import numpy as np
from PIL import Image

from suture import files, records
from suture.arrays import Layout, RowCache, RowWriter
from suture.errors import InputError
from suture.progress import progress
from suture.records import Clip, Record, Rejection
from suture.video.reading import Frames

REBUILD = "delete the shard's .jsonl and .npy and run cache_frames again"


@dataclass(frozen=True, kw_only=True)
class CachedClip(Record):
    """Where a clip's frames lie: rows ``row`` to ``row + n_frames - 1`` of ``array``.

    ``array`` is relative to the manifest's folder. ``indices`` are the frames'
    numbers in the clip file, from its first frame; ``frame_seconds`` the mean
    time between two of them, 0 where there is one. ``decoder`` and its version
    are of what decoded this clip, whichever was asked for. ``rejected`` is the
    reason of a clip that has no rows: it has no decoder either. ``source`` is
    the media file that the clip came from.
    """

    clip: str
    case: str
    array: str
    row: int
    n_frames: int
    height: int
    width: int
    indices: tuple[int, ...]
    frame_seconds: float
    clip_sha256: str
    pixels_sha256: str
    decoder: str
    decoder_version: str
    rejected: str = ""
    source: str = ""

    @classmethod
    def from_json(cls, row: dict[str, Any], *, where: object = None) -> Self:
        return super().from_json({**row, "indices": tuple(row.get("indices", ()))}, where=where)


def resize(frames: Frames, height: int, width: int) -> Frames:
    """Scales frames [n, h, w, 3] to [n, height, width, 3], bicubic with antialiasing.

    The picture is stretched to the new shape, not cropped: nothing at its rim is
    lost, and the published Surgery-SFT videos are stretched (to 224x224) too.
    """
    if frames.shape[1:3] == (height, width):
        return frames
    scaled = [Image.fromarray(frame).resize((width, height), Image.Resampling.BICUBIC) for frame in frames]
    return np.stack([np.asarray(image) for image in scaled])


@dataclass(frozen=True, kw_only=True)
class Decoded:
    """A clip's frames, uint8 [n, height, width, 3], their numbers in the clip file, and what decoded them."""

    frames: Frames
    indices: tuple[int, ...]
    decoder: str
    decoder_version: str


@dataclass(frozen=True, kw_only=True)
class Refused:
    """A clip that has no frames: ``reason`` is the code of its rejection, ``problem`` is for a reader."""

    reason: str
    problem: str


def write_shard(
    clips: Sequence[Clip],
    *,
    decode: Callable[[Sequence[Clip]], Iterable[Decoded | Refused]],
    size: tuple[int, int],
    manifest: Path,
    array: Path,
    max_rejected: float,
) -> list[Rejection]:
    """Caches the frames of clips in the order of their ids.

    Args:
        clips: the clips of the shard.
        decode: gives the frames of each of the clips it is given, of ``size``,
            in their order; a :class:`Refused` costs that clip, counted.
        size: height and width of the cached frames, in pixels.
        manifest: the manifest to write, last of the two files.
        array: the array to write.
        max_rejected: largest share of clips that may fail.

    Returns:
        The clips that failed.

    Raises:
        InputError: more clips failed than ``max_rejected`` allows. It is raised
            over the first one too many: each may have taken its whole time limit.
    """
    height, width = size
    ordered = sorted(clips, key=lambda clip: clip.id)
    rows: list[CachedClip] = []
    rejections: list[Rejection] = []
    with files.atomic_path(array) as temporary:
        writer = RowWriter(temporary, (height, width, 3), np.dtype(np.uint8))
        results = progress(decode(ordered), what="cache frames", unit="clip", total=len(ordered))
        for clip, result in zip(ordered, results, strict=True):
            reason = ""
            if isinstance(result, Refused):
                reason = result.reason
                rejections.append(_rejection(clip, result))
                _check_share(rejections, len(ordered), max_rejected)
                result = Decoded(
                    frames=np.zeros((0, height, width, 3), np.uint8), indices=(), decoder="", decoder_version=""
                )
            rows.append(
                CachedClip(
                    clip=clip.id,
                    case=clip.case,
                    array=os.path.relpath(array, manifest.parent),
                    row=writer.rows,
                    n_frames=len(result.frames),
                    height=height,
                    width=width,
                    indices=result.indices,
                    frame_seconds=_spacing(result.indices, clip.fps),
                    clip_sha256=clip.sha256,
                    pixels_sha256=hashlib.sha256(np.ascontiguousarray(result.frames).data).hexdigest(),
                    decoder=result.decoder,
                    decoder_version=result.decoder_version,
                    rejected=reason,
                    source=clip.source,
                )
            )
            writer.append(result.frames)
        writer.close()
        # An old manifest must never describe a new array.
        manifest.unlink(missing_ok=True)
    records.write(manifest, rows)
    return rejections


def _rejection(clip: Clip, refused: Refused) -> Rejection:
    return Rejection(
        stage="cache_frames", reason=refused.reason, case=clip.case, where=clip.path, detail=refused.problem
    )


def _check_share(rejections: Sequence[Rejection], clips: int, allowed: float) -> None:
    if len(rejections) > allowed * clips:
        raise InputError(
            f"at least {len(rejections)} of {clips} clips cannot be used, {allowed:.0%} may: {rejections[0].detail}",
            where=rejections[0].where,
            fix="repair the clips, or raise max_rejected",
        )


def _spacing(indices: Sequence[int], fps: float) -> float:
    if len(indices) < 2 or fps <= 0:
        return 0.0
    return round((indices[-1] - indices[0]) / (len(indices) - 1) / fps, 6)


class FrameCache(RowCache[CachedClip]):
    """Reads frames of cached clips by clip id, from one or more shards.

    Raises:
        InputError: a manifest or its array is missing, or they do not belong together.
    """

    def __init__(self, manifests: Sequence[Path]) -> None:
        super().__init__(manifests, CachedClip, layout=_layout, what="frames", rebuild=REBUILD)

    def frames(self, clip: str) -> Frames:
        """Returns a clip's frames, uint8 [n, height, width, 3], read from disk as they are used."""
        return self.rows(clip, self.entry(clip).n_frames)


def _layout(lines: Sequence[CachedClip]) -> Layout:
    return (sum(line.n_frames for line in lines), lines[0].height, lines[0].width, 3), np.dtype(np.uint8)
