"""Encodes frames so that equal frames give equal bytes."""

from __future__ import annotations

from collections.abc import Iterable
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
from numpy.typing import NDArray

from suture import files

KEYFRAME_S = 2
"""Seconds from keyframe to keyframe at most."""


def encode(path: Path, frames: Iterable[NDArray[np.uint8]], size: tuple[int, int], fps: int) -> None:
    """Writes RGB frames, each (height, width, 3), as H.264 in MP4, without metadata.

    One thread and ``bitexact``: x264 with several threads decides by timing,
    and the container would otherwise name the library that wrote it.

    Args:
        path: the file, written as a whole or not at all.
        frames: in order, ``fps`` a second.
        size: width and height, both even.
        fps: frames a second.
    """
    with (
        files.atomic_path(path) as temporary,
        av.open(str(temporary), "w", format="mp4", options={"fflags": "+bitexact"}) as container,
    ):
        stream = container.add_stream("libx264", rate=fps)
        stream.width, stream.height, stream.pix_fmt = *size, "yuv420p"
        stream.time_base = Fraction(1, fps)
        stream.thread_count = 1
        stream.options = {
            "preset": "veryfast",
            "crf": "20",
            "g": str(KEYFRAME_S * fps),
            "threads": "1",
            "flags": "+bitexact",
        }
        for number, picture in enumerate(frames):
            frame = av.VideoFrame.from_ndarray(picture, format="rgb24")
            frame.pts = number
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
