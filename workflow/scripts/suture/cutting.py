"""Cuts one case: planned clips become files, whose wanted frames are the source's to the bit.

For each clip, in this order: a copy of packets from the nearest key packet;
from an earlier one; a lossless re-encoding. A copy whose start is an
instantaneous refresh (IDR) is exact by the codec's standard; with ``auto`` one
such copy of each file is still decoded and compared, and so is every copy that
starts otherwise. What could not be made exact is rejected, never kept. An image
is copied, a run of images joined (:mod:`suture.video.frame_run`).
"""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack
from itertools import groupby
from pathlib import Path

from suture import files
from suture.progress import progress, say
from suture.records import Clip, Rejection
from suture.video.film import write_film
from suture.video.frame_run import write_run
from suture.video.image import IMAGE_SUFFIXES, copy_image
from suture.video.index import Index, read_index
from suture.video.reading import MediaError, open_video
from suture.video.reencode import reencode_lossless
from suture.video.remux import plan_copy, start_positions, write_copy
from suture.video.verify import SourceFrames, clip_digests, nearby_digests
from suture.windows import PlannedClip

CHECKS = ("auto", "full", "none")
OVERHANG_S = 0.5
"""Annotation tools round the length of a video: a clip may reach this far beyond it."""

Media = Mapping[str, Path | MediaError]


def cut_case(
    case: str, planned: Sequence[PlannedClip], media: Media, videos: Path, folder: Path, *, check: str, bar: bool
) -> tuple[list[Clip], list[Rejection]]:
    """Cuts all clips of one case into a folder.

    Args:
        case: the case's id.
        planned: its clips.
        media: for each of the plan's files, by its name, where it is or why there is none.
        videos: the root that sources are named relative to.
        folder: an existing folder for the clips.
        check: ``auto``, ``full`` (every clip decoded and compared) or ``none``.
        bar: show a progress bar over the clips.

    Returns:
        The clips sorted by id, and a rejection for each planned clip that
        could not be made; each file and reason is also said once on stderr.
    """
    clips: list[Clip] = []
    rejected: list[Rejection] = []
    said: Counter[tuple[str, str]] = Counter()
    ordered = sorted(planned, key=lambda clip: clip.media)
    todo = progress(ordered, what=f"cutting {case}", unit="clip") if bar else iter(ordered)
    for name, wanted in groupby(todo, key=lambda clip: clip.media):
        for plan, made in _cut_media(case, wanted, media, name, videos, folder, check):
            if isinstance(made, Clip):
                clips.append(made)
                continue
            found = media.get(name)
            source = _relative(found, videos) if isinstance(found, Path) else name
            rejected.append(_rejection(case, plan, source, made))
            said[(str(made.where or name), f"{made.problem} ({made.reason})")] += 1
    for (where, problem), count in said.items():
        _say(case, where, f"{problem}: {count} clip{'s' if count > 1 else ''} left out")
    return sorted(clips, key=lambda clip: clip.id), rejected


def clip_file(clip: PlannedClip) -> str:
    """Names the file of a clip: an image alone keeps its kind, all else is MP4."""
    suffix = Path(clip.media).suffix.lower()
    return f"{clip.id}{suffix if suffix in IMAGE_SUFFIXES and not clip.beside else '.mp4'}"


def _relative(path: Path, videos: Path) -> str:
    return Path(os.path.relpath(path, videos)).as_posix()


def _rejection(case: str, clip: PlannedClip, source: str, error: MediaError) -> Rejection:
    span = f"{clip.phase} from {clip.start_s:g} s" + ("" if clip.end_s is None else f" to {clip.end_s:g} s")
    return Rejection(
        stage="cut",
        reason=error.reason,
        case=case,
        where=f"{source}, {clip.place}",
        detail=f"{span}: {error.problem}",
    )


def _say(case: str, where: str, text: str) -> None:
    say(f"cut_videos: {case}, {where}: {text}")


def _cut_media(
    case: str, wanted: Iterator[PlannedClip], media: Media, name: str, videos: Path, folder: Path, check: str
) -> Iterator[tuple[PlannedClip, Clip | MediaError]]:
    """Makes the clips of one media file, or of one folder of frames, one after the other, or says why not."""
    path = media.get(name)
    if path is None:
        yield from ((clip, _join_frames(case, clip, media, videos, folder, check)) for clip in wanted)
        return
    with ExitStack() as opened:
        try:
            if isinstance(path, MediaError):
                raise path
            kind = _ImageCutter if path.suffix.lower() in IMAGE_SUFFIXES else _VideoCutter
            cutter = kind(case, path, videos, folder, check, opened)
        except MediaError as error:
            yield from ((clip, error) for clip in wanted)
            return
        for clip in wanted:
            try:
                made: Clip | MediaError = cutter.cut(clip, [_found(media[one]) for one in clip.beside])
            except MediaError as error:
                made = error
            yield clip, made
        for note, count in cutter.notes.items():
            _say(case, str(path), f"{count} clip{'s' if count > 1 else ''} {note}")


def _found(path: Path | MediaError) -> Path:
    if isinstance(path, MediaError):
        raise path
    return path


def _join_frames(
    case: str, clip: PlannedClip, media: Media, videos: Path, folder: Path, check: str
) -> Clip | MediaError:
    """Makes a clip of a run of single images."""
    images: list[Path] = []
    for name in clip.frames:
        found = media[name]
        if isinstance(found, MediaError):
            return found
        images.append(found)
    target = folder / clip_file(clip)
    try:
        width, height = write_run(images, target, check=check != "none")
    except MediaError as error:
        return error
    return Clip(
        id=clip.id,
        case=case,
        phase=clip.phase,
        start_s=clip.start_s,
        end_s=clip.start_s if clip.end_s is None else clip.end_s,
        path=f"{case}/{target.name}",
        first_frame=0,
        n_frames=len(images),
        fps=0.0,
        width=width,
        height=height,
        method="frames",
        sha256=files.sha256_file(target),
        source=_relative(images[0].parent, videos),
        source_sha256=files.sha256_text("\n".join(files.sha256_file(path) for path in images)),
    )


class _Cutter:
    """What images and videos share: where things lie and how a clip's record is made."""

    def __init__(self, case: str, path: Path, videos: Path, folder: Path, check: str, opened: ExitStack) -> None:
        self.case, self.path, self.folder, self.check = case, path, folder, check
        self.source = _relative(path, videos)
        self.source_sha256 = files.sha256_file(path)
        self.notes: Counter[str] = Counter()


class _ImageCutter(_Cutter):
    """Copies one image; several that are shown together become the frames of one film."""

    def cut(self, clip: PlannedClip, beside: Sequence[Path]) -> Clip:
        target = self.folder / clip_file(clip)
        width, height = write_film([self.path, *beside], target) if beside else copy_image(self.path, target)
        return Clip(
            id=clip.id,
            case=self.case,
            phase=clip.phase,
            start_s=clip.start_s,
            end_s=float(1 + len(beside)) if beside else clip.start_s if clip.end_s is None else clip.end_s,
            path=f"{self.case}/{target.name}",
            first_frame=0,
            n_frames=1 + len(beside),
            fps=1.0 if beside else 0.0,
            width=width,
            height=height,
            method="images" if beside else "image",
            sha256=files.sha256_file(target),
            source=self.source,
            source_sha256=self.source_sha256,
        )


class _VideoCutter(_Cutter):
    """Cuts one video file: indexed once, each clip checked as far as it needs to be."""

    def __init__(self, case: str, path: Path, videos: Path, folder: Path, check: str, opened: ExitStack) -> None:
        super().__init__(case, path, videos, folder, check, opened)
        self.index: Index = read_index(path)
        self.video, self.stream = opened.enter_context(open_video(path))
        self.frames = SourceFrames(path)
        self.sampled = False
        if not self.index.packets:
            _say(case, str(path), "its packets have no usable times: clips are re-encoded without loss")
        if self.index.truncated:
            _say(case, str(path), f"cut off: it ends at {self.index.duration_s:.3f} s")

    def cut(self, clip: PlannedClip, beside: Sequence[Path] = ()) -> Clip:
        """Makes one clip.

        Raises:
            MediaError: past_end, truncated, no_frames, or it cannot be made exact.
        """
        frames = self._wanted(clip)
        target = self.folder / clip_file(clip)
        try:
            method, first_frame = self._make(frames, target)
        except MediaError:
            target.unlink(missing_ok=True)
            raise
        return Clip(
            id=clip.id,
            case=self.case,
            phase=clip.phase,
            start_s=clip.start_s,
            end_s=round(self.index.duration_s, 3) if clip.end_s is None else clip.end_s,
            path=f"{self.case}/{target.name}",
            first_frame=first_frame,
            n_frames=len(frames),
            fps=round(float(self.index.rate), 6),
            width=self.index.width,
            height=self.index.height,
            method=method,
            sha256=files.sha256_file(target),
            source=self.source,
            source_sha256=self.source_sha256,
        )

    def _wanted(self, clip: PlannedClip) -> range:
        index, end_s = self.index, clip.end_s
        if index.truncated and (end_s is None or end_s > index.duration_s):
            raise self._error("truncated", "reaches beyond the end of a file that is cut off")
        if end_s is not None and end_s > index.duration_s + OVERHANG_S:
            raise self._error("past_end", f"reaches beyond the video's end at {index.duration_s:.3f} s")
        frames = index.frames_between(clip.start_s, end_s)
        if not frames:
            raise self._error("no_frames", "no frame lies in this stretch")
        return frames

    def _make(self, frames: range, target: Path) -> tuple[str, int]:
        """Writes the clip; returns how, and the number of its first wanted frame."""
        for attempt, start in enumerate(start_positions(self.index, frames[0])):
            plan = plan_copy(self.index, frames, start)
            written = write_copy(self.index, self.video, self.stream, plan, target)
            if written and self._is_exact(start, frames, target, plan.first_frame):
                if attempt:
                    self.notes["copied from a key packet further back, to be exact"] += 1
                return "copy", plan.first_frame
        reencode_lossless(self.path, frames[0], len(frames), target, pixel_format=self.index.pixel_format)
        if self.check != "none" and clip_digests(target, 0, len(frames)) != self.frames.digests(frames):
            raise self._error("not_exact", f"its frames ({self.index.pixel_format}) cannot be kept to the bit")
        self.notes["re-encoded without loss: no copy gives their frames to the bit"] += 1
        return "reencode", 0

    def _is_exact(self, start: int, frames: range, target: Path, first_frame: int) -> bool:
        if self.check == "none":
            return True
        if self.check == "auto" and self.index.proven and (start == 0 or self.index.packets[start].key == "refresh"):
            if self.sampled:
                return True
            self.sampled = clip_digests(target, first_frame, len(frames)) == nearby_digests(self.index, frames)
            if self.sampled:
                return True
            # The one sample differs: trust nothing about this file, compare every clip with a full decode.
            self.check = "full"
        expected = self.frames.digests(frames)
        return len(expected) == len(frames) and clip_digests(target, first_frame, len(frames)) == expected

    def _error(self, reason: str, problem: str) -> MediaError:
        return MediaError(problem, reason=reason, where=self.path)
