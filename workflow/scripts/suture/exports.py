"""Clips as other readers need them: files that hold exactly the wanted frames.

A clip is a stream copy that may start at a keyframe before its first wanted
frame. Re-encoding costs time, so each export is kept under a name made of all
that decides its content; an interrupted run goes on where it stopped.
"""

from __future__ import annotations

import re
from collections.abc import Collection
from pathlib import Path

from suture import digest, files
from suture.errors import InputError
from suture.records import Clip

# An export, or what a killed run left of one.
_OURS = re.compile(r"\.?.+\.[0-9a-f]{16}\.mp4(\.tmp-\d+\.mp4)?", re.DOTALL)


def is_needed(clip: Clip, source: Path) -> bool:
    """Tells whether a clip's file holds other frames than the wanted ones.

    Raises:
        InputError: the file cannot be read, or has too few frames.
    """
    if clip.method == "image":
        return False
    if clip.first_frame > 0:
        return True
    from suture.video.reading import open_video

    with open_video(source) as (_, stream):
        count = stream.frames  # 0: the container does not say
    if 0 < count < clip.n_frames:
        raise InputError(
            f"clip {clip.id} of {clip.case} has {count} frames, {clip.n_frames} are wanted",
            where=source,
            fix=f"cut {clip.case} again: delete its clips manifest and run",
        )
    return count != clip.n_frames


def path_of(clip: Clip, folder: Path) -> Path:
    """Returns where the export of a clip lies in ``folder``, whether or not it is made."""
    encoder = digest.module("suture.video.reencode")
    key = files.sha256_text(f"{clip.sha256} {clip.first_frame} {clip.n_frames} {encoder}")
    return folder / f"{clip.id}.{key[:16]}.mp4"


def make(clip: Clip, source: Path, folder: Path) -> Path:
    """Returns the export of a clip in ``folder``, made now or by an earlier run.

    Raises:
        InputError: the clip cannot be re-encoded.
    """
    from suture.video import reencode

    target = path_of(clip, folder)
    if not target.is_file():
        reencode.export_exact(source, clip.first_frame, clip.n_frames, target)
    return target


def remove_all_but(kept: Collection[str], folder: Path) -> int:
    """Removes the exports in ``folder`` whose name is not among ``kept``; files of other names stay.

    Returns:
        The number of files removed.
    """
    old = [path for path in folder.glob("*") if _OURS.fullmatch(path.name) and path.name not in kept]
    for path in old:
        path.unlink()
    return len(old)
