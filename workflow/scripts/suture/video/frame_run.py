"""Runs of frames that are published as single images become clips: their coded pictures, one after the other, in MP4.

No picture is coded anew, so each frame is the image's to the bit; what an image
tells beside its picture stays behind, as in :mod:`suture.video.image`. When
the frames were taken is not known: the file shows one a second.
"""

from __future__ import annotations

import io
from collections.abc import Sequence
from fractions import Fraction
from pathlib import Path

import av

from suture.video.image import coded_picture
from suture.video.reading import MediaError
from suture.video.verify import clip_digests


def write_run(images: Sequence[Path], target: Path, *, check: bool = True) -> tuple[int, int]:
    """Writes images, PNG or JPEG of one size, as the frames of an MP4 file; equal input, equal bytes.

    Args:
        images: in the order of the frames, at least one.
        target: the file to write; left behind only when it is whole.
        check: decode it, and compare its frames with the images.

    Returns:
        Width and height, in pixels.

    Raises:
        MediaError: media_unreadable, size_changes, or not_exact.
    """
    try:
        size = _write(images, target)
        single = [digest for path in images for digest in clip_digests(path, 0, 1)] if check else []
        if check and clip_digests(target, 0, len(images)) != single:
            raise MediaError("its frames cannot be kept to the bit", reason="not_exact", where=images[0])
    except MediaError:
        target.unlink(missing_ok=True)
        raise
    return size


def _write(images: Sequence[Path], target: Path) -> tuple[int, int]:
    first: tuple[str, int, int] | None = None
    stream = None
    with av.open(str(target), "w", format="mp4", options={"fflags": "+bitexact"}) as output:
        for number, path in enumerate(images):
            data, width, height = coded_picture(path)
            try:
                with av.open(io.BytesIO(data), "r") as source:
                    picture = source.streams.video[0]
                    kind = (picture.codec_context.name, width, height)
                    if stream is None:
                        first, stream = kind, output.add_stream_from_template(picture)
                        stream.time_base = Fraction(1)
                    if kind != first:
                        raise MediaError(
                            f"a frame of {width}x{height} ({kind[0]}) in a run of {first}",
                            reason="size_changes",
                            where=path,
                        )
                    packet = next(packet for packet in source.demux(picture) if packet.size)
                    packet.stream, packet.time_base = stream, Fraction(1)
                    packet.pts = packet.dts = number
                    packet.duration = 1
                    output.mux(packet)
            except (av.error.FFmpegError, StopIteration) as error:
                raise MediaError(f"no frame of a run: {error}", reason="media_unreadable", where=path) from error
    assert first is not None, "a run has at least one frame"
    return first[1], first[2]
