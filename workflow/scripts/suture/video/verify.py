"""Are a clip's frames those of its source, to the bit? Compared as decoded, before any colour conversion."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from itertools import islice
from pathlib import Path

from av.video.frame import VideoFrame

from suture.video.index import Index
from suture.video.reading import MediaError, decode, decode_packets, open_video


def digest(frame: VideoFrame) -> bytes:
    """Returns a digest of a frame's pixels in the format the decoder gave; RGB is RGB in any order of its channels."""
    layout = frame.format.name
    if frame.format.is_rgb:
        layout = "rgb24" if frame.format.components[0].bits <= 8 else "rgb48le"
    try:
        pixels = frame.to_ndarray(format=layout)
    except ValueError:  # a layout numpy has no shape for: compared after a fixed conversion
        layout = "yuv444p16le"
        pixels = frame.to_ndarray(format=layout)
    return hashlib.blake2b(f"{layout} {pixels.shape}".encode() + pixels.tobytes(), digest_size=16).digest()


class SourceFrames:
    """Digests of a source's frames by number, decoded once, in order, as far as they are asked for."""

    def __init__(self, path: Path) -> None:
        self._frames: Iterator[VideoFrame] = decode(path)
        self._digests: list[bytes] = []

    def digests(self, frames: range) -> list[bytes]:
        """Returns the digests of the given frames; fewer where the source ends before them."""
        missing = max(0, frames.stop - len(self._digests))
        self._digests.extend(digest(frame) for frame in islice(self._frames, missing))
        return self._digests[frames.start : frames.stop]


def clip_digests(path: Path, first_frame: int, n_frames: int) -> list[bytes]:
    """Returns the digests of a clip's wanted frames, read as all readers in Suture do; none if it is unreadable."""
    try:
        return [digest(frame) for frame in islice(decode(path), first_frame, first_frame + n_frames)]
    except MediaError:
        return []


def nearby_digests(index: Index, frames: range) -> list[bytes]:
    """Returns the digests of source frames, decoding from well before them instead of from the file's start.

    Good enough to check one copy of a stream whose key packets are instantaneous refreshes.
    """
    first, last = index.display[frames[0]], index.display[frames[-1]]
    refresh = [packet.pts for packet in index.packets if packet.key == "refresh" and packet.pts <= first]
    found = []
    with open_video(index.path) as (source, stream):
        stream.thread_type = "AUTO"
        source.seek(refresh[-2:][0] if refresh else index.packets[0].pts, stream=stream)
        for frame in decode_packets(source.demux(stream)):
            if frame.pts is not None and frame.pts > last:
                break
            if frame.pts is not None and frame.pts >= first:
                found.append(digest(frame))
    return found
