"""Frames of a video file by decord, read the one way that gives the right ones, and checked.

decord 0.6.0 against PyAV, to the bit, on files of every common codec: random
access, strided batches and ``skip_frames`` give wrong frames wherever leading
pictures or fragments are (open groups of pictures, HEVC, MPEG-2, MPEG-4), and
say nothing. ``next`` from the file's first frame on gives the right ones there.
Not everywhere: of MPEG transport streams it loses the first frames and fills
the end by repeating others; interlaced and 10-bit colours it converts another
way than ffmpeg does today.

Hence a file is read from its first frame to its end, none may be made up, and
the first must be PyAV's to the bit. What does not pass is PyAV's to read.

This module imports decord: a process that has must not fork any more.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator
from pathlib import Path

import decord
import numpy as np

from suture.video.reading import Frames, MediaError, decode, too_short, upright_rgb

VERSION: str = decord.__version__

# decord raises where more than this share of the frames was made up; 0 would switch that off.
_NO_FRAME_MADE_UP = 1e-9

decord.logging.set_level(decord.logging.QUIET)


def pick(path: Path, wanted: Collection[int]) -> Iterator[tuple[int, Frames]]:
    """Decodes a file from its first frame to its end and yields the wanted frames as they come.

    The file is known to be right only when the last frame has been taken from
    the iterator: drop what was yielded before if it raises.

    Args:
        path: a video file.
        wanted: frame numbers from 0 in display order.

    Yields:
        Number and RGB picture, uint8 [height, width, 3], in ascending order.

    Raises:
        MediaError: the file cannot be read, by PyAV or by decord, ends before
            the last wanted frame, or decord does not see in it what PyAV does.
    """
    # PyAV first: it tells what is wrong with a file, and decord may end the process over one that is none.
    first = next((upright_rgb(frame, path) for frame in decode(path, threads=1)), None)
    if first is None:
        raise too_short(path, max(wanted), 0)
    try:
        reader = decord.VideoReader(str(path), num_threads=1, fault_tol=_NO_FRAME_MADE_UP)
        if len(reader) <= max(wanted):
            raise too_short(path, max(wanted), len(reader))
        for number in range(len(reader)):
            frame = reader.next()
            if number == 0 and not np.array_equal(frame.asnumpy(), first):
                raise _failed(path, "its first frame is not PyAV's")
            if number in wanted:
                yield number, frame.asnumpy()
    except (decord.DECORDError, decord.DECORDLimitReachedError, RuntimeError, StopIteration) as error:
        raise _failed(path, _in_short(error, path)) from error


def _failed(path: Path, problem: str) -> MediaError:
    return MediaError(f"decord cannot read this file: {problem}", reason="decoder_failed", where=path)


def _in_short(error: Exception, path: Path) -> str:
    """Returns the first line of decord's message without its times and places: equal failures, equal texts."""
    line = str(error).partition("\n")[0].replace(str(path), path.name)
    return re.sub(r"\[\d\d:\d\d:\d\d\] \S+: ?", "", line).strip() or type(error).__name__
