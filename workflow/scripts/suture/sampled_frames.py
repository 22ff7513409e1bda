"""Clips whose frames are all cached, seen by a few of them: drawn anew each epoch in training, the same when scored."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import astuple, dataclass, fields, replace
from pathlib import Path

import numpy as np

from suture import delimited, files
from suture.errors import InputError
from suture.frame_draws import Draws
from suture.frames import CachedClip, FrameCache
from suture.models.base import Video


@dataclass(frozen=True, kw_only=True)
class Drawn:
    """One line of a file of sampling indices: the frames of a video that a model was shown.

    ``indices`` are frame numbers of the video, ``total_frames`` how many it has.
    """

    path: str
    total_frames: int
    method: str
    indices: tuple[int, ...]
    round: int
    label: str
    epoch: int
    clip: str


class SampledFrames:
    """A cache of whole clips, read as one of the frames that are drawn from them.

    Args:
        cache: all frames of each clip.
        held_out: draws for validation or test; they are those of epoch 0.
        train: draws for training; None: there is none.
    """

    def __init__(self, cache: FrameCache, *, held_out: Draws, train: Draws | None = None) -> None:
        self._cache = cache
        self._held_out = held_out
        self._train = train
        self.rejected: Mapping[str, CachedClip] = cache.rejected

    def __contains__(self, clip: object) -> bool:
        return clip in self._cache

    def __len__(self) -> int:
        return len(self._cache)

    @property
    def count(self) -> int:
        """Frames drawn from a clip."""
        return self._held_out.count

    def total(self, clip: str) -> int:
        """Returns the number of frames of a clip."""
        return self._cache.entry(clip).n_frames

    def entry(self, clip: str) -> CachedClip:
        """Returns the line of a clip as of one that has as many frames as are drawn; KeyError where it has none."""
        whole = self._cache.entry(clip)
        return replace(whole, n_frames=self._held_out.count, indices=())

    def frames(self, clip: str) -> np.ndarray:
        """Returns the frames that are drawn from a clip when it is scored, uint8 [count, height, width, 3]."""
        return self.video(clip).frames

    def video(self, clip: str) -> Video:
        """Returns the frames that are drawn from a clip when it is scored."""
        return self._pick(clip, self._draw(clip, None, 0))

    def training_video(self, clip: str, *, epoch: int, round_: int) -> Video:
        """Returns the frames that are drawn from a clip in an epoch and a round of augmentation."""
        return self._pick(clip, self._draw(clip, epoch, round_))

    def drawn(self, clip: str, label: str, *, epoch: int | None = None, round_: int = 0) -> Drawn:
        """Returns the line for the files: what :meth:`training_video` shows, without an epoch what :meth:`video` does.

        The numbers are those of the frames in the clip's file as they were decoded, less that of its first wanted one.
        """
        entry = self._cache.entry(clip)
        draws = self._held_out if epoch is None else self._training
        picked = self._draw(clip, epoch, round_)
        return Drawn(
            path=entry.source or clip,
            total_frames=entry.n_frames,
            method=draws.method,
            indices=tuple(entry.indices[i] - entry.indices[0] for i in picked),
            round=round_,
            label=label,
            epoch=epoch or 0,
            clip=clip,
        )

    @property
    def _training(self) -> Draws:
        if self._train is None:
            raise ValueError("no draws for training were given")
        return self._train

    def _draw(self, clip: str, epoch: int | None, round_: int) -> list[int]:
        draws, total = (self._held_out if epoch is None else self._training), self.total(clip)
        return draws.indices(total, clip, epoch=epoch or 0, round_=round_)

    def _pick(self, clip: str, picked: Sequence[int]) -> Video:
        spacing = self._cache.entry(clip).frame_seconds * (picked[-1] - picked[0]) / max(1, len(picked) - 1)
        # Rows of a mapped file, and only those, become memory.
        return Video(frames=self._cache.frames(clip)[np.array(picked)], frame_seconds=round(spacing, 6))


def check_whole(cache: FrameCache, clips: Iterable[str]) -> None:
    """Refuses a cache that holds some frames of a clip only: what would be drawn from them is not what is said.

    Raises:
        InputError: naming the first such clip.
    """
    for clip in clips:
        indices = cache.entry(clip).indices
        if indices != tuple(range(indices[0], indices[0] + len(indices))):
            raise InputError(
                f"not all frames of clip {clip!r} are cached: frames cannot be drawn from them",
                fix="cache_frames.py --all",
            )


def write(path: Path, rows: Iterable[Drawn]) -> None:
    """Writes sampling indices as CSV: the fields of :class:`Drawn`, indices divided by spaces."""
    text = io.StringIO()
    lines = csv.writer(text, lineterminator="\n")
    lines.writerow([field.name for field in fields(Drawn)])
    lines.writerows([" ".join(map(str, v)) if isinstance(v, tuple) else v for v in astuple(row)] for row in rows)
    files.write_text(path, text.getvalue())


def read(path: Path) -> list[Drawn]:
    """Reads a file of sampling indices.

    Raises:
        InputError: a column is missing or a cell is no number; file and line are named.
    """
    names = [field.name for field in fields(Drawn)]
    found = []
    for row in delimited.read(path, dict.fromkeys(names, ()), required=names).rows:
        cells = row.cells
        try:
            found.append(
                Drawn(
                    path=cells["path"],
                    total_frames=int(cells["total_frames"]),
                    method=cells["method"],
                    indices=tuple(map(int, cells["indices"].split())),
                    round=int(cells["round"]),
                    label=cells["label"],
                    epoch=int(cells["epoch"]),
                    clip=cells["clip"],
                )
            )
        except ValueError as error:
            raise InputError(f"not a line of sampling indices: {error}", where=f"{path}:{row.line}") from error
    return found
