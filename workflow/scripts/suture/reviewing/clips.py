"""Clips small enough that a hundred of them fit into one page: short films, stills where there is no room."""

from __future__ import annotations

import base64
import io
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import Literal

import av
import numpy as np
from PIL import Image

from suture import files
from suture.frame_sampling import evenly
from suture.records import Clip
from suture.video import reading
from suture.video.reading import Frames, MediaError

BUDGET = 40_000_000
"""Bytes of clips in one page: a browser opens it at once, and a mail gateway may still take it."""
LONGER_SIDE = 400
RATE = 8.0
"""Frames a second of a film; fewer where it would have more than :data:`MOST_FRAMES`."""
MOST_FRAMES = 96
STILLS = 4


@dataclass(frozen=True, kw_only=True)
class Shown:
    """A clip in the page: a film, a picture of stills, or the words why there is none."""

    kind: Literal["film", "stills", "none"]
    uri: str
    words: str


class Clips:
    """Makes each clip's film once, until the page is full; then stills, then nothing.

    Attributes:
        thinned: clips shown as stills for want of room.
        left_out: clips not shown for want of room.
        unread: what is wrong with clips that cannot be read.
    """

    def __init__(self, folder: Path, *, budget: int = BUDGET) -> None:
        self._folder = folder
        self._room = budget
        self.thinned = 0
        self.left_out = 0
        self.unread: list[str] = []

    def show(self, clip: Clip) -> Shown:
        """Makes what stands in the page for a clip."""
        try:
            frames, seconds = _frames(files.inside(self._folder, clip.path), clip)
        except MediaError as error:
            self.unread.append(str(error))
            return Shown(kind="none", uri="", words=f"This clip cannot be read: {error.reason.replace('_', ' ')}.")
        stills = _uri("image/jpeg", _stills(frames))
        film = _uri("video/mp4", _film(frames, seconds)) if len(frames) > 1 else stills
        for kind, uri in ((("film" if len(frames) > 1 else "stills"), film), ("stills", stills)):
            if len(uri) <= self._room:
                self._room -= len(uri)
                self.thinned += uri is not film
                return Shown(kind="film" if kind == "film" else "stills", uri=uri, words="")
        self.left_out += 1
        return Shown(kind="none", uri="", words="No room for this clip: the page is full.")


def _frames(path: Path, clip: Clip) -> tuple[Frames, float]:
    """Reads frames evenly over the clip, [n, height, width, 3], made small; and the seconds they span."""
    seconds = clip.n_frames / clip.fps if clip.fps > 0 else 0.0
    count = max(1, min(clip.n_frames, MOST_FRAMES, round(seconds * RATE)))
    wanted = [clip.first_frame + number for number in evenly(clip.n_frames, count)]
    # One by one: a clip of 4K frames would not fit into memory.
    small = [_small(picture) for _, picture in reading.pick(path, set(wanted), threads=1)]
    return np.stack(small), seconds


def _small(picture: Frames) -> Frames:
    image = Image.fromarray(picture)
    scale = min(1.0, LONGER_SIDE / max(image.size))
    # Even sides: H.264 halves the colour planes.
    size = [max(2, round(side * scale / 2) * 2) for side in image.size]
    return np.asarray(image.resize((size[0], size[1]), Image.Resampling.BOX))


def _film(frames: Frames, seconds: float) -> bytes:
    """Encodes frames as H.264 in MP4, which every browser plays, as long as the clip is."""
    rate = Fraction(len(frames) / seconds).limit_denominator(1000)
    buffer = io.BytesIO()
    with av.open(buffer, "w", format="mp4", options={"fflags": "+bitexact"}) as container:
        stream = container.add_stream("libx264", rate=rate)
        stream.height, stream.width, stream.pix_fmt = frames.shape[1], frames.shape[2], "yuv420p"
        stream.time_base = 1 / rate
        stream.thread_count = 1
        stream.options = {"preset": "veryfast", "crf": "28", "threads": "1", "flags": "+bitexact"}
        for number, picture in enumerate(frames):
            frame = av.VideoFrame.from_ndarray(picture, format="rgb24")
            frame.pts = number
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    return buffer.getvalue()


def _stills(frames: Frames) -> bytes:
    """Joins some frames side by side, as JPEG."""
    chosen = frames[evenly(len(frames), min(STILLS, len(frames)))]
    buffer = io.BytesIO()
    Image.fromarray(np.concatenate(list(chosen), axis=1)).save(buffer, format="JPEG", quality=80)
    return buffer.getvalue()


def _uri(kind: str, data: bytes) -> str:
    return f"data:{kind};base64,{base64.b64encode(data).decode()}"
