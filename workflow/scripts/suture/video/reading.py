"""Frames of a video file by their number, upright, as a player shows them.

Frames are counted from 0 in display order. A file is always decoded from its
first frame on: jumping by timestamp gives wrong frames on streams with open
groups of pictures, and nothing says so.

Rotation: cutting copies a phone's or recorder's display matrix into the clip
and leaves its frames as they were recorded. Reading turns them by that matrix
(multiples of 90 degrees), so heights and widths here are those a viewer sees.
A mirrored display matrix is turned but not mirrored.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import av
import numpy as np
import numpy.typing as npt
from av.container import InputContainer
from av.packet import Packet
from av.video.frame import VideoFrame
from av.video.stream import VideoStream

from suture.errors import InputError

Frames = npt.NDArray[np.uint8]

_BROKEN = "check the file with a player, or take it from its source again"


class MediaError(InputError):
    """A media file that cannot be used; ``reason`` is the code of its rejection."""

    def __init__(self, problem: str, *, reason: str, where: object, fix: str | None = None) -> None:
        super().__init__(problem, where=where, fix=fix)
        self.reason = reason


@contextmanager
def open_video(path: Path) -> Iterator[tuple[InputContainer, VideoStream]]:
    """Opens a file and its video stream; libav's errors while it is open become ours.

    Raises:
        MediaError: media_missing, media_empty, media_unreadable or no_video_stream, naming the file.
    """
    if not path.is_file():
        raise MediaError("media file not found", reason="media_missing", where=path)
    if path.stat().st_size == 0:
        raise MediaError("media file is empty (0 bytes)", reason="media_empty", where=path, fix=_BROKEN)
    try:
        # Recorders write tags in their own encodings.
        with av.open(str(path), metadata_errors="replace") as container:
            # A cover picture counts as a video stream for libav; it is none.
            videos = [s for s in container.streams.video if not s.disposition & av.stream.Disposition.attached_pic]
            if not videos:
                raise MediaError(
                    "no video stream in this file",
                    reason="no_video_stream",
                    where=path,
                    fix="is it a sound recording? name the video file in its place",
                )
            yield container, videos[0]
    except MemoryError:  # libav's is also an FFmpegError: the file may be sound
        raise
    except av.error.FFmpegError as error:
        if _without_index(path, error):
            raise MediaError(
                "cut off: its index (moov) is missing",
                reason="truncated",
                where=path,
                fix="the recording or the download was stopped: take it from its source again",
            ) from error
        raise MediaError(
            f"not readable as video ({error.strerror})", reason="media_unreadable", where=path, fix=_BROKEN
        ) from error


def _without_index(path: Path, error: av.error.FFmpegError) -> bool:
    """Tells whether an MP4 file ends before its table of frames, which recorders write last."""
    if not isinstance(error, av.error.InvalidDataError):
        return False
    with path.open("rb") as handle:
        size, seen = path.stat().st_size, set()
        while len(header := handle.read(16)) >= 8:
            length, kind = int.from_bytes(header[:4]), header[4:8]
            if length == 1 and len(header) == 16:
                length = int.from_bytes(header[8:])
            seen.add(kind)
            if length < 8 or handle.tell() - len(header) + length > size:
                break
            handle.seek(length - len(header), 1)
    return b"ftyp" in seen and b"moov" not in seen


def decode(path: Path, *, threads: int = 0) -> Iterator[VideoFrame]:
    """Yields all frames of a file in display order, as they were recorded (not yet upright).

    Of a file that is cut off or damaged, the frames that can be decoded:
    callers know how many they expect.

    Args:
        threads: for decoding; 0: one a core.
    """
    with open_video(path) as (container, stream):
        stream.thread_type = "AUTO"
        stream.codec_context.thread_count = threads
        yield from decode_packets(container.demux(stream))


def decode_packets(packets: Iterable[Packet]) -> Iterator[VideoFrame]:
    """Yields the frames of a video stream's packets; decoder errors pass only after a packet marked as damaged."""
    damaged = False
    for packet in packets:
        damaged = damaged or packet.is_corrupt
        try:
            frames = packet.decode()
        except av.error.InvalidDataError:
            if not damaged:
                raise
            frames = []
        yield from frames


def upright(image: npt.NDArray[np.generic], rotation: int) -> npt.NDArray[np.generic]:
    """Turns an image [h, w, ...] counter-clockwise by a display rotation in degrees, to the nearest 90."""
    return np.rot90(image, k=round(rotation / 90))


def upright_rgb(frame: VideoFrame, path: Path) -> Frames:
    """Converts a decoded frame to RGB as a viewer sees it, uint8 [height, width, 3].

    Raises:
        MediaError: media_unreadable, naming the file: there is no such conversion.
    """
    try:
        image = frame.to_ndarray(format="rgb24")
    except MemoryError:
        raise
    except (av.error.FFmpegError, ValueError) as error:
        raise MediaError(
            f"its pictures ({frame.format.name}) cannot be converted to RGB: {error}",
            reason="media_unreadable",
            where=path,
            fix=_BROKEN,
        ) from error
    return np.ascontiguousarray(upright(image, frame.rotation), dtype=np.uint8)


def pick(path: Path, wanted: Collection[int], *, threads: int = 0) -> Iterator[tuple[int, Frames]]:
    """Decodes a file from its first frame on and yields the wanted frames as they come.

    Args:
        path: a video file, or an image (frame 0).
        wanted: frame numbers from 0 in display order.
        threads: for decoding; 0: one a core.

    Yields:
        Number and RGB picture, uint8 [height, width, 3], in ascending order.

    Raises:
        ValueError: no number is wanted, or a negative one.
        MediaError: the file cannot be read, ends before the last wanted frame, or
            changes its picture size on the way.
    """
    if not wanted or min(wanted) < 0:
        raise ValueError(f"frame numbers must be 0 or more, and at least one: {sorted(wanted)}")
    last, count, size = max(wanted), 0, None
    for number, frame in enumerate(decode(path, threads=threads)):
        count = number + 1
        if number in wanted:
            image = upright_rgb(frame, path)
            if size not in (None, image.shape):
                raise MediaError(
                    "the picture size changes within the file", reason="size_changes", where=path, fix=_BROKEN
                )
            size = image.shape
            yield number, image
        if number >= last:
            return
    raise too_short(path, last, count)


def too_short(path: Path, last: int, count: int) -> MediaError:
    """Returns the refusal of a file that ends before frame ``last``."""
    return MediaError(
        f"frame {last} is wanted, the file has {count}", reason="truncated", where=path, fix="cut the clip again"
    )


def read_frames(path: Path, indices: Sequence[int]) -> Frames:
    """Decodes the frames with the given numbers.

    Args:
        path: a video file, or an image (frame 0).
        indices: frame numbers from 0 in display order; any order, repeats allowed.

    Returns:
        RGB, uint8 [len(indices), height, width, 3], in the order of ``indices``.

    Raises:
        ValueError: no indices, or a negative one.
        MediaError: the file cannot be read, ends before the last index, or
            changes its picture size on the way.
    """
    got = dict(pick(path, set(indices)))
    return np.stack([got[number] for number in indices])
