"""Videos and images that belong to no dataset: found by name, shown to a model as it was trained."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from suture.errors import InputError
from suture.frame_draws import Draws, Method
from suture.frame_sampling import at_rate
from suture.frames import resize
from suture.models.base import Video
from suture.video.image import IMAGE_SUFFIXES
from suture.video.index import read_index
from suture.video.reading import MediaError, pick
from suture.video.workers import Lost, call_each

_RECORDINGS = (".avi", ".m2ts", ".m4v", ".mkv", ".mov", ".mp4", ".mpeg", ".mpg", ".mts", ".ts", ".vob", ".webm", ".wmv")
SUFFIXES = (*_RECORDINGS, *IMAGE_SUFFIXES, ".bmp", ".tif", ".tiff")
"""What a file in a folder is taken for a video or an image by. A file that is named itself may have any."""


@dataclass(frozen=True, kw_only=True)
class FrameSettings:
    """Which frames a model sees, ``count`` of them or ``fps`` a second, and their size in pixels.

    ``method`` and ``seed`` say how ``count`` frames are picked.
    """

    count: int | None
    fps: float | None
    height: int
    width: int
    method: Method = "middle"
    seed: int = 42

    def indices(self, n_frames: int, fps: float, key: str = "") -> list[int]:
        """Picks frames of a file of ``n_frames`` at ``fps``, as in training; ``key`` tells it from others."""
        if self.count is not None:
            return Draws(method=self.method, count=self.count, seed=self.seed).indices(n_frames, key)
        return at_rate(n_frames, fps, self.fps or 0)


@dataclass(frozen=True, kw_only=True)
class Unusable:
    """Why a file has no frames to show: ``reason`` is a short code, ``detail`` the line a user reads."""

    reason: str
    detail: str


def frame_settings(
    card: dict[str, Any], *, count: int | None, fps: float | None, size: list[int] | None, where: object, hint: str = ""
) -> FrameSettings:
    """Returns the settings that a model was trained with, as its card has them, or those given in their place.

    Args:
        card: ``frames`` in it has count or fps, height and width, and how the count is picked.
        count: frames a video.
        fps: frames a second.
        size: height and width.
        where: the folder of the card.
        hint: flags that a user may want, for the error.

    Raises:
        InputError: a setting is in neither place, or below 1.
    """
    known: dict[str, Any] = card.get("frames") or {}
    if count is None and fps is None:
        count, fps = known.get("count"), known.get("fps")
    height, width = size or (known.get("height"), known.get("width"))
    if (count is None and fps is None) or height is None or width is None:
        raise InputError(
            "which frames the model was trained on is not stored with it",
            where=where,
            fix=f"give --fps F or --frames N, and --size H W{hint}",
        )
    if any(value is not None and not 0 < value < float("inf") for value in (count, fps, height, width)):
        raise InputError("--frames, --fps and --size must be above 0")
    how: dict[str, Any] = {name: known[name] for name in ("method", "seed") if name in known and count is not None}
    return FrameSettings(count=count, fps=fps, height=height, width=width, **how)


def find(media: Path) -> tuple[dict[str, Path], list[str]]:
    """Finds what to ask about: one file, or all videos and images in a folder and the folders in it.

    Returns:
        The files by name, relative to the folder and sorted; and the names of
        the other files there, hidden ones among them.

    Raises:
        InputError: there is no such file or folder, or none in it.
    """
    if media.is_file():
        return {media.name: media}, []
    if not media.is_dir():
        raise InputError("no such file or folder", where=media)
    found: dict[str, Path] = {}
    others = []
    for path in sorted(_files(media)):
        name = path.relative_to(media).as_posix()
        # Hidden files are of editors and file managers: `._clip.mp4` is no video.
        if path.suffix.lower() in SUFFIXES and not any(part.startswith(".") for part in name.split("/")):
            found[name] = path
        else:
            others.append(name)
    if not found:
        raise InputError(
            f"no video or image among {len(others)} files", where=media, fix=f"known are {' '.join(SUFFIXES)}"
        )
    return found, others


def _files(folder: Path) -> Iterator[Path]:
    """Yields the files of a folder and the folders in it, linked ones too: data folders are often trees of links."""
    entered = set()
    for path, folders, names in os.walk(folder, followlinks=True):
        real = os.path.realpath(path)
        if real in entered:
            folders.clear()
            continue
        entered.add(real)
        folders.sort()  # what has two names is found under the same one each time
        yield from (Path(path, name) for name in names)


def read_all(
    paths: Sequence[Path], settings: FrameSettings, *, most: int, workers: int, seconds: float
) -> Iterator[Video | Unusable]:
    """Decodes files one after the other, each in a process that it may take down; a few ahead of the one asked for.

    Args:
        paths: the files.
        settings: which frames, and their size.
        most: frames that fit the model; a file with more is not usable: none is left out.
        workers: processes.
        seconds: time limit of one file.

    Yields:
        The frames of each file, or why there are none.
    """
    read_one = partial(_read, settings=settings, most=most)
    each = call_each(read_one, [[path] for path in paths], workers=workers, seconds=seconds, spent=_failed)
    with closing(each) as outcomes:
        for outcome in outcomes:
            if isinstance(outcome, Lost):
                yield Unusable(reason=f"decoder_{outcome.reason}", detail=f"decoding: {outcome.detail}")
            else:
                yield outcome


def _failed(outcome: Video | Unusable) -> bool:
    # Nobody knows what a decoder leaves behind that gave up: the next file gets a process of its own.
    return isinstance(outcome, Unusable)


def _read(path: Path, *, settings: FrameSettings, most: int) -> Video | Unusable:
    try:
        return read(path, settings, most=most)
    except MediaError as error:
        return Unusable(reason=error.reason, detail=error.problem)


def read(path: Path, settings: FrameSettings, *, most: int) -> Video:
    """Decodes the frames of a file that a model is shown; an image is a video of one frame.

    Raises:
        MediaError: the file cannot be read, is cut off, or has more frames to show than ``most``.
    """
    index = read_index(path)
    if index.truncated:
        raise MediaError(f"cut off: it ends at {index.duration_s:.3f} s", reason="truncated", where=path)
    fps = round(float(index.rate), 6)
    indices = settings.indices(len(index.display), fps, path.name)
    if len(indices) > most:
        problem = f"{len(indices)} frames would be shown of its {index.duration_s:.0f} s, {most} fit the model"
        raise MediaError(problem, reason="too_long", where=path)
    # Made small one by one: all frames of a long video at its own size are too much to hold.
    shown = {
        n: resize(frame[None], settings.height, settings.width)[0] for n, frame in pick(path, set(indices), threads=1)
    }
    spacing = (indices[-1] - indices[0]) / max(1, len(indices) - 1) / fps
    return Video(frames=np.stack([shown[n] for n in indices]), frame_seconds=round(spacing, 6))
