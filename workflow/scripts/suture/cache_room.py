"""Whether the caches of a run fit where they lie: bytes and files, there and still to come."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from suture import caches
from suture.config.frames import Frames
from suture.config.model import Config

FRAMES_FILES = 3
"""Files of a shard of frames: manifest, array, what was left out."""

FEATURES_FILES = 2


@dataclass(frozen=True, kw_only=True)
class Room:
    """The caches of a run.

    Attributes:
        there: bytes that are there; ``files_there`` of their number.
        to_come: bytes of frames that are not there yet; None where nobody knows how many, before the clips are cut or
            where their length decides. What features take is known when they are there.
        files_to_come: at most; a shard without cases has none.
        free: bytes, and ``files_free`` of files, None where the file system does not count them.
    """

    place: Path
    there: int
    files_there: int
    to_come: int | None
    files_to_come: int
    free: int
    files_free: int | None

    @property
    def words(self) -> str:
        """The line of the plan."""
        frames = "" if self.to_come is None else f"{_gigabytes(self.to_come)} of frames, "
        files = "" if self.files_free is None else f" and {self.files_free:,} files"
        return (
            f"caches in {self.place}: {_gigabytes(self.there)} in {self.files_there:,} files there, {frames}up to "
            f"{self.files_to_come:,} files to come; {_gigabytes(self.free)}{files} free"
        )

    @property
    def problem(self) -> str | None:
        """Why they do not fit; None where they do, as far as is known."""
        if (self.to_come or 0) > self.free:
            free = _gigabytes(self.free)
            return f"the caches still take {_gigabytes(self.to_come or 0)}, and {self.place} has {free} free"
        if self.files_free is not None and self.files_to_come > self.files_free:
            return (
                f"the caches are {self.files_to_come:,} files more, and {self.place} has room for {self.files_free:,}"
            )
        return None


def of(config: Config, run: Path) -> Room:
    """Looks at the caches of a run.

    Args:
        config: the configuration.
        run: its folder.

    Raises:
        InputError: storage.cache names a variable that is not set.
    """
    folder = run / caches.FOLDER
    place = caches.place(run, config.storage.cache) or folder
    there, files_there = caches.usage(place)
    shown = {one.frames.key: one.frames for one in config.experiments.values()}
    featured = {(one.base_key, one.frames.key) for one in config.experiments.values() if one.cache_features}
    clips = _clips(run)
    to_come: int | None = 0
    for key, frames in shown.items():
        size = _bytes(frames, clips)
        to_come = (
            None
            if size is None or to_come is None
            else to_come + max(0, size - caches.usage(place / "frames" / key)[0])
        )
    files = config.shards * (FRAMES_FILES * len(shown) + FEATURES_FILES * len(featured))
    free, files_free = caches.free(place)
    return Room(
        place=place,
        there=there,
        files_there=files_there,
        to_come=to_come,
        files_to_come=max(0, files - files_there),
        free=free,
        files_free=files_free,
    )


def _clips(run: Path) -> int | None:
    """Counts the clips that were cut; None before."""
    manifest = run / "manifests" / "clips.jsonl"
    if not manifest.is_file():
        return None
    with manifest.open("rb") as lines:
        return sum(1 for line in lines if line.strip())


def _bytes(frames: Frames, clips: int | None) -> int | None:
    """Returns what the frames of all clips take, uint8 [frames, height, width, 3]."""
    if clips is None or frames.count is None or frames.drawn:
        return None
    return clips * frames.count * frames.height * frames.width * 3


def _gigabytes(size: int) -> str:
    return f"{size / 1e9:,.3g} GB" if size < 1e12 else f"{size / 1e9:,.0f} GB"
