"""Lossless cuts: packets copied from the source, not a picture touched.

A copy starts at a key packet before the wanted stretch and ends with the last
packet the stretch needs, so it holds more frames than wanted; which of them
are wanted is recorded with the clip. Sound and metadata stay behind; a display
matrix (rotation) goes along.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import av
from av.container import InputContainer
from av.packet import Packet
from av.video.stream import VideoStream

from suture.video.index import Index
from suture.video.reading import open_video


@dataclass(frozen=True)
class CopyPlan:
    """Which packets a copy takes, as positions in ``Index.packets``, and where the wanted frames are in it."""

    packets: tuple[int, ...]
    first_frame: int


def start_positions(index: Index, first: int) -> list[int]:
    """Lists where a copy that shows frame ``first`` may start, to be tried in this order.

    The last key packet before the frame, the one before that, and the last
    instantaneous refresh; positions in ``index.packets``, without repeats.
    """
    wanted = index.display[first]
    keys = [n for n, packet in enumerate(index.packets) if (packet.key or n == 0) and packet.pts <= wanted]
    refresh = [n for n in keys if index.packets[n].key == "refresh"] or keys[:1]
    return list(dict.fromkeys([*keys[:-3:-1], *refresh[-1:]]))


def plan_copy(index: Index, frames: range, start: int) -> CopyPlan:
    """Plans a copy of the given frames that starts at packet ``start``.

    Leading pictures of the start (shown before it, decoded after it) are left
    out: they are not wanted, and not decodable here.
    """
    begin, first, last = index.packets[start].pts, index.display[frames[0]], index.display[frames[-1]]
    # Up to the last packet, in decode order, that is shown within the stretch: all it refers to comes before.
    stop = max(n for n in range(start, len(index.packets)) if index.packets[n].pts <= last)
    taken = tuple(n for n in range(start, stop + 1) if index.packets[n].pts >= begin)
    return CopyPlan(taken, sum(1 for n in taken if index.packets[n].pts < first))


def write_copy(index: Index, source: InputContainer, stream: VideoStream, plan: CopyPlan, target: Path) -> bool:
    """Writes the planned packets to an MP4 file; equal input, equal bytes.

    Returns:
        False if the packets cannot be found again, or MP4 cannot hold this
        codec; the target is then of no use.
    """
    zero = index.packets[plan.packets[0]].pts
    left = {index.packets[n].pts: index.packets[n] for n in plan.packets}
    try:
        with av.open(str(target), "w", format="mp4", options={"fflags": "+bitexact"}) as output:
            out_stream = output.add_stream_from_template(stream)
            out_stream.time_base = index.time_base
            for packet in _packets_from(index, source, stream, plan.packets[0]):
                entry = None if packet.pts is None else left.pop(packet.pts, None)
                if entry is None:
                    continue
                packet.stream = out_stream
                packet.pts, packet.dts = entry.pts - zero, entry.dts - zero
                output.mux(packet)
                if not left:
                    break
    except (av.error.FFmpegError, ValueError):
        return False
    return not left


def _packets_from(index: Index, source: InputContainer, stream: VideoStream, start: int) -> Iterator[Packet]:
    """Yields packets from ``start`` on, by a seek, or from the file's beginning where seeking lands behind it."""
    first = index.packets[start].pts
    source.seek(first, stream=stream)
    packets = source.demux(stream)
    for packet in packets:
        if packet.pts == first:
            yield packet
            yield from packets
            return
    with open_video(index.path) as (again, its_stream):
        yield from again.demux(its_stream)
