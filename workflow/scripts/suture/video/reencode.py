"""Clips written anew by x264: exports for other readers, and the last resort of cutting.

Output bytes depend on the input, the options here and the ffmpeg build alone:
one encoding thread (x264's result depends on their number), no encoder tags,
no times.
"""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import ffmpeg

from suture import files
from suture.errors import SutureError
from suture.video.reading import MediaError, open_video

EXPORT_CRF = 16
"""Quality of exported clips: x264's scale, 18 is commonly held to be visually lossless."""

# What libx264 takes; libx264rgb takes bgr24. Other formats become full-resolution YCbCr, which may round.
_X264_FORMATS = (
    *("yuv420p", "yuvj420p", "yuv422p", "yuvj422p", "yuv444p", "yuvj444p", "nv12", "nv16", "nv21", "gray"),
    *("yuv420p10le", "yuv422p10le", "yuv444p10le", "gray10le"),
)
_RGB_FORMATS = ("rgb24", "bgr24", "gbrp", "rgb0", "bgr0", "0rgb", "0bgr")


def ffmpeg_exe() -> str:
    """Finds ffmpeg: the wheel's binary, or else the one on PATH (a conda environment's).

    Raises:
        SutureError: there is neither.
    """
    try:
        import imageio_ffmpeg

        return str(imageio_ffmpeg.get_ffmpeg_exe())
    except (ImportError, RuntimeError) as error:
        found = shutil.which("ffmpeg")
        if found is None:
            raise SutureError("no ffmpeg found", fix="install imageio-ffmpeg, or ffmpeg itself") from error
        return found


def export_exact(source: Path, first_frame: int, n_frames: int, target: Path) -> None:
    """Writes frames ``first_frame`` to ``first_frame + n_frames - 1`` as a video of their own.

    For readers that know nothing of a clip's first wanted frame: the result
    starts and ends exactly there. H.264, yuv420p, high quality, upright, odd
    sizes padded to even ones, frame times kept (the first is 0), no sound, no metadata.

    Args:
        source: a clip or a whole video; frames counted from 0 in display order.
        first_frame: the first frame to keep.
        n_frames: how many to keep.
        target: the file to write, as a whole or not at all.

    Raises:
        MediaError: the source cannot be read or has too few frames.
    """
    even = {"w": "ceil(iw/2)*2", "h": "ceil(ih/2)*2"}
    with files.atomic_path(target) as temporary:
        stream = _frames(ffmpeg.input(_url(source)), first_frame, n_frames).filter("pad", **even)
        _encode(stream, temporary, n_frames, where=source, crf=EXPORT_CRF, pix_fmt="yuv420p")


def reencode_lossless(source: Path, first_frame: int, n_frames: int, target: Path, *, pixel_format: str) -> None:
    """Writes the same stretch with x264 in its lossless mode, frames not turned.

    Equal to the source's frames to the bit where x264 knows the pixel format
    (8 and 10 bit YCbCr, grey, 8 bit RGB); the file is several times bigger than a copy.

    Raises:
        MediaError: the source cannot be read or has too few frames.
    """
    rgb = pixel_format in _RGB_FORMATS
    kept = "bgr24" if rgb else pixel_format if pixel_format in _X264_FORMATS else "yuv444p"
    stream = _frames(ffmpeg.input(_url(source), noautorotate=None), first_frame, n_frames)
    _encode(stream, target, n_frames, where=source, codec="libx264rgb" if rgb else "libx264", qp=0, pix_fmt=kept)


def _url(path: Path) -> str:
    # "file:" keeps names with ':' or a leading '-' from being taken for something else.
    return f"file:{path}"


def _frames(stream: Any, first_frame: int, n_frames: int) -> Any:
    kept = stream.video.filter("trim", start_frame=first_frame, end_frame=first_frame + n_frames)
    return kept.filter("setpts", "PTS-STARTPTS")


def _encode(stream: Any, target: Path, n_frames: int, *, where: Path, codec: str = "libx264", **quality: Any) -> None:
    options = {
        "c:v": codec,
        "threads:v": 1,
        "flags:v": "+bitexact",
        "fflags": "+bitexact",
        "fps_mode": "passthrough",
        "enc_time_base": "demux",
        "map_metadata": -1,
        "map_chapters": -1,
        "format": "mp4",
        **quality,
    }
    command = ffmpeg.output(stream, _url(target), **options).global_args("-loglevel", "error", "-nostdin")
    try:
        command.run(cmd=ffmpeg_exe(), overwrite_output=True, capture_stderr=True)
    except ffmpeg.Error as error:
        last = (error.stderr.decode(errors="replace").strip().splitlines() or ["ffmpeg said nothing"])[-1]
        raise MediaError(f"re-encoding failed: {last}", reason="reencode_failed", where=where) from error
    with open_video(target) as (_, written):
        count = written.frames
    if count != n_frames:
        raise MediaError(
            f"re-encoding gave {count} frames, {n_frames} are wanted",
            reason="truncated",
            where=where,
            fix="is the source cut off? take it from its publisher again",
        )
