"""Clips become frames: each in a process that it may take down, by the decoder that reads it right.

``auto`` is decord, as published, and PyAV where decord fails. decord is
the slower of the two when it is read the way that is right (whole file in
order, see :mod:`suture.video.decord_reading`): five seconds of 1024x768 at 60
a second take it 0.72 s of one core and PyAV 0.46 s, of 224x224 at 30 a second
0.05 s and 0.04 s. It is paid once a clip.

Each process decodes with one thread: of damaged files, what is decoded
could depend on their number.
"""

from __future__ import annotations

from collections.abc import Generator, Sequence
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

import av
import numpy as np

from suture import files
from suture.frames import Decoded, Refused, resize
from suture.video import reading
from suture.video.reading import MediaError
from suture.video.workers import Lost, call_each

DECODERS = ("auto", "decord", "pyav")


@dataclass(frozen=True, kw_only=True)
class Wanted:
    """Frames of a clip file: their numbers in it, and the (height, width) they are made.

    ``sha256`` is what the file's digest has to be. An ``image`` is PyAV's to
    read: decord reads none.
    """

    path: Path
    sha256: str
    indices: tuple[int, ...]
    size: tuple[int, int]
    image: bool = False


@dataclass(frozen=True, kw_only=True)
class _Try:
    wanted: Wanted
    decoders: tuple[str, ...]


def decode_each(
    clips: Sequence[Wanted | Refused], *, decoder: str, workers: int, seconds: float, megabytes: int | None = None
) -> Generator[Decoded | Refused, None, None]:
    """Decodes clips in processes of their own; the results do not depend on their number.

    Args:
        clips: what to read; what is refused already is passed on.
        decoder: one of :data:`DECODERS`.
        workers: number of processes.
        seconds: time limit of one decoder on one clip.
        megabytes: memory of one process; None: no limit.

    Yields:
        Frames, or why there are none, in the order of ``clips``.
    """
    calls = [[_Try(wanted=w, decoders=d) for d in _tries(w, decoder)] for w in clips if isinstance(w, Wanted)]
    each = call_each(_read, calls, workers=workers, seconds=seconds, megabytes=megabytes, spent=_failed)
    with closing(each) as results:
        for clip in clips:
            result = clip if isinstance(clip, Refused) else next(results)
            if isinstance(result, Lost):
                result = Refused(reason=f"decoder_{result.reason}", problem=f"decoding: {result.detail}")
            yield result


def _failed(result: Decoded | Refused) -> bool:
    # Nobody knows which threads and how much memory a decoder leaves behind that gave up.
    return isinstance(result, Refused)


def _tries(wanted: Wanted, decoder: str) -> list[tuple[str, ...]]:
    """Returns which decoders a process tries in turn, and which another tries if it is lost over that."""
    if wanted.image:
        return [("pyav",)]
    return [("decord", "pyav"), ("pyav",)] if decoder == "auto" else [(decoder,)]


def _read(one: _Try) -> Decoded | Refused:
    wanted, refused = one.wanted, None
    for decoder in one.decoders:
        try:
            decoded = _decode(wanted, decoder)
        except MediaError as error:
            refused = Refused(reason=error.reason, problem=error.problem)
        else:
            if files.sha256_file(wanted.path) != wanted.sha256:
                return Refused(reason="clip_changed", problem="the clip is not the file that was cut")
            return decoded
    assert refused is not None
    return refused


def _decode(wanted: Wanted, decoder: str) -> Decoded:
    if decoder == "decord":
        # Not before: decord may not be imported where processes are forked later, and has no
        # wheel for every machine.
        try:
            from suture.video import decord_reading
        except (ImportError, OSError) as error:
            raise MediaError(f"decord cannot be imported: {error}", reason="decoder_missing", where=decoder) from error
        version = decord_reading.VERSION
        pictures = decord_reading.pick(wanted.path, set(wanted.indices))
    else:
        version = f"{av.__version__}, ffmpeg {av.ffmpeg_version_info}"
        pictures = reading.pick(wanted.path, set(wanted.indices), threads=1)
    # Made small one by one: the frames of a large clip at its own size would fill the memory.
    got = {number: resize(picture[None], *wanted.size)[0] for number, picture in pictures}
    frames = np.stack([got[number] for number in wanted.indices])
    return Decoded(frames=frames, indices=wanted.indices, decoder=decoder, decoder_version=version)
