"""Clips as other readers need them: files that hold exactly the wanted frames.

A clip is a stream copy that may start at a keyframe before its first wanted
frame. Re-encoding costs time, so each export is kept under a name made of all
that decides its content; an interrupted run goes on where it stopped.
"""

from __future__ import annotations

from pathlib import Path

from suture import files
from suture.errors import InputError
from suture.records import Clip


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


def make(clip: Clip, source: Path, folder: Path) -> Path:
    """Returns the export of a clip in ``folder``, made now or by an earlier run.

    Raises:
        InputError: the clip cannot be re-encoded.
    """
    from suture.video import reencode

    encoder = files.sha256_file(Path(reencode.__file__))
    key = files.sha256_text(f"{clip.sha256} {clip.first_frame} {clip.n_frames} {encoder}")
    target = folder / f"{clip.id}.{key[:16]}.mp4"
    if not target.is_file():
        reencode.export_exact(source, clip.first_frame, clip.n_frames, target)
    return target
