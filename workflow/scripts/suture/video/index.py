"""The index of a video: its packets and frame times, found without decoding.

A frame's number is its rank in display order among the frames that a player
shows. Its time is counted from the first shown frame, so that a stream that
starts at 1.4 s (MPEG-TS, fragmented MP4) or inside an edit list has its first
frame at 0.
"""

from __future__ import annotations

from bisect import bisect_left
from dataclasses import dataclass, field
from fractions import Fraction
from itertools import pairwise
from math import ceil
from pathlib import Path

import av
from av.container import InputContainer
from av.video.stream import VideoStream

from suture.video.nal import KeyKind, key_kind
from suture.video.reading import MediaError, decode, open_video


@dataclass(frozen=True, slots=True)
class Entry:
    """One packet, in ticks of the stream's time base; ``key`` None: nothing can be decoded from here on."""

    pts: int
    dts: int
    key: KeyKind | None
    shown: bool


@dataclass(frozen=True, kw_only=True)
class Index:
    """What is known of a video file.

    ``packets`` are in decode order; empty where their times cannot be relied
    on (then ``display`` comes from decoding, and no stretch can be copied).
    ``display`` holds the presentation times of the shown frames, ascending;
    ``end`` the end of the last one. ``width`` and ``height`` are those of the
    upright picture. ``proven``: the codec's standard vouches for copies that
    start at an instantaneous refresh; false for damaged streams.
    """

    path: Path
    time_base: Fraction
    packets: tuple[Entry, ...] = field(repr=False)
    display: tuple[int, ...] = field(repr=False)
    end: int
    codec: str
    rate: Fraction
    width: int
    height: int
    pixel_format: str
    proven: bool
    truncated: bool

    @property
    def duration_s(self) -> float:
        """Seconds from the first frame's start to the last one's end."""
        return float((self.end - self.display[0]) * self.time_base)

    def frames_between(self, start_s: float, end_s: float | None) -> range:
        """Returns the numbers of the frames with start <= time < end; times in decimal, not as binary floats."""
        first = bisect_left(self.display, self._ticks(start_s))
        last = len(self.display) if end_s is None else bisect_left(self.display, self._ticks(end_s))
        return range(first, max(first, last))

    def _ticks(self, seconds: float) -> int:
        # str() gives the decimal the annotator wrote: 22.5 is 22.5, and 4.004 is not 4.00399999999999955...
        return self.display[0] + ceil(Fraction(str(seconds)) / self.time_base)


def read_index(path: Path) -> Index:
    """Reads the packets of a video file and decodes its first frame.

    Raises:
        MediaError: the file cannot be used, with the reason's code.
    """
    with open_video(path) as (container, stream):
        packets, cut_off = _demux(container, stream)
        declared, declared_s = stream.frames, _declared_seconds(container, stream)
        base, rate = stream.time_base, stream.average_rate
        container_format = container.format.name
        reorders = stream.codec_context.has_b_frames
        codec = stream.codec_context.name
    first = next(decode(path), None)
    if first is None or not packets or base is None:
        raise MediaError("no frame can be decoded", reason="media_unreadable", where=path)
    read, damaged = len(packets), any(packet.corrupt for packet in packets)
    if packets[-1].corrupt:
        cut_off = True
        packets.pop()
    entries = _entries(packets)
    # AVI carries decode times alone: where frames are reordered they are no display times.
    if container_format == "avi" and reorders and [e.pts for e in entries] == sorted(e.pts for e in entries):
        entries = []
    if entries:
        display = sorted(entry.pts for entry in entries if entry.shown)
        step = packets[-1].duration or (display[-1] - display[0]) // max(1, len(display) - 1)
    else:
        display, base, step = _decoded_times(path, rate)
    end = display[-1] + max(1, step)
    truncated = cut_off or declared > read or declared_s > float((end - display[0]) * base) + 1
    if truncated and entries:
        # What is shown up to the last decode time is all there; beyond it frames between others may be lost.
        display = [pts for pts in display if pts <= entries[-1].dts] or display[:1]
        end = display[-1] + max(1, step)
    sideways = round(first.rotation / 90) % 2
    return Index(
        path=path,
        time_base=base,
        packets=tuple(entries),
        display=tuple(display),
        end=end,
        codec=codec,
        rate=rate or len(display) / ((end - display[0]) * base),
        width=first.height if sideways else first.width,
        height=first.width if sideways else first.height,
        pixel_format=first.format.name,
        proven=codec in ("h264", "hevc") and not damaged,
        truncated=truncated,
    )


@dataclass(frozen=True, slots=True)
class _Read:
    pts: int | None
    dts: int | None
    duration: int
    key: KeyKind | None
    shown: bool
    corrupt: bool


def _demux(container: InputContainer, stream: VideoStream) -> tuple[list[_Read], bool]:
    """Reads all packets that hold something; the flag tells that libav gave up before the end."""
    codec, length_size = stream.codec_context.name, _length_size(stream)
    packets = []
    try:
        for packet in container.demux(stream):
            if packet.size:
                key = key_kind(codec, packet, length_size) if packet.is_keyframe else None
                packets.append(
                    _Read(packet.pts, packet.dts, packet.duration or 0, key, not packet.is_discard, packet.is_corrupt)
                )
    except av.error.InvalidDataError:
        if not packets:
            raise
        return packets, True
    return packets, False


def _declared_seconds(container: InputContainer, stream: VideoStream) -> float:
    """Returns the length that Matroska states for the video, which states no number of frames; else 0."""
    if "matroska" not in container.format.name:
        return 0.0
    if "DURATION" in stream.metadata:
        hours, minutes, seconds = stream.metadata["DURATION"].split(":")
        return int(hours) * 3600 + int(minutes) * 60 + float(seconds)
    return (container.duration or 0) / av.time_base if len(container.streams) == 1 else 0.0


def _length_size(stream: VideoStream) -> int:
    """Returns the bytes of a NAL unit's length in this stream, 0 for start codes."""
    extra = stream.codec_context.extradata or b""
    at = {"h264": 4, "hevc": 21}.get(stream.codec_context.name)
    return (extra[at] & 3) + 1 if at is not None and len(extra) > at and extra[0] == 1 else 0


def _entries(packets: list[_Read]) -> list[Entry]:
    """Returns the packets from the first that can be decoded, or none where their times cannot be used."""
    start = next((n for n, packet in enumerate(packets) if packet.key), 0)
    packets = packets[start:]
    times = [packet.pts for packet in packets if packet.pts is not None]
    if len(set(times)) < len(packets):
        return []
    # Matroska's first decode times are unknown: any will do that come before the next ones.
    decode_times: list[int] = []
    following: int | None = None
    for packet in reversed(packets):
        following = packet.dts if packet.dts is not None else (following if following is not None else min(times)) - 1
        decode_times.append(following)
    decode_times.reverse()
    if any(b <= a for a, b in pairwise(decode_times)):
        return []
    # Leading pictures of the first packet refer to what is not there: no decoder shows them.
    return [
        Entry(pts, dts, packet.key, packet.shown)
        for pts, dts, packet in zip(times, decode_times, packets, strict=True)
        if pts >= times[0]
    ]


def _decoded_times(path: Path, rate: Fraction | None) -> tuple[list[int], Fraction, int]:
    """Numbers the frames by decoding: their own times where they ascend, else by the frame rate."""
    times: list[int | None] = []
    base: Fraction | None = None
    for frame in decode(path):
        times.append(frame.pts)
        base = frame.time_base
    known = [time for time in times if time is not None]
    if base and len(known) == len(times) and all(b > a for a, b in pairwise(known)):
        return known, base, (known[-1] - known[0]) // max(1, len(known) - 1)
    if not rate:
        raise MediaError("frames carry no times and the file no frame rate", reason="media_unreadable", where=path)
    return list(range(len(times))), 1 / rate, 1
