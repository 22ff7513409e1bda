"""Images as clips: the picture's bytes copied, everything told about the patient or the machine left behind."""

from __future__ import annotations

import struct
import zlib
from collections.abc import Iterator
from pathlib import Path

from PIL import Image, UnidentifiedImageError

from suture.video.reading import MediaError

IMAGE_SUFFIXES = (".png", ".jpg", ".jpeg")

_ORIENTATION = 0x0112
_PNG_SIGNATURE = b"\x89PNG\r\n\x1a\n"
# Chunks that change how the picture looks; text, times and EXIF are not among them (PNG specification, 11.3).
_PNG_KEPT = frozenset(
    (
        b"IHDR",
        b"PLTE",
        b"IDAT",
        b"IEND",
        b"tRNS",
        b"cHRM",
        b"gAMA",
        b"iCCP",
        b"sBIT",
        b"sRGB",
        b"cICP",
        b"bKGD",
        b"pHYs",
    )
)
_JPEG_START_OF_SCAN, _JPEG_COMMENT, _JPEG_APP0 = 0xDA, 0xFE, 0xE0
# JFIF, ICC profile, Adobe's colour transform: without them the colours change.
_JPEG_KEPT_APPS = (b"JFIF\0", b"ICC_PROFILE\0", b"Adobe")


def copy_image(source: Path, target: Path) -> tuple[int, int]:
    """Copies a PNG or JPEG file without its metadata; the coded picture stays as it is.

    Returns:
        Width and height of the upright picture, in pixels.

    Raises:
        MediaError: the file is no such image, or damaged.
    """
    data, width, height = coded_picture(source)
    target.write_bytes(data)
    return width, height


def coded_picture(source: Path) -> tuple[bytes, int, int]:
    """Returns the bytes of a PNG or JPEG file without its metadata.

    Of EXIF data the orientation alone is kept, so that the image is still
    shown upright.

    Returns:
        The bytes; width and height of the upright picture, in pixels.

    Raises:
        MediaError: the file is no such image, or damaged.
    """
    data = source.read_bytes()
    try:
        with Image.open(source, formats=("PNG", "JPEG")) as image:
            orientation = image.getexif().get(_ORIENTATION, 1)
            width, height = image.size
            image.load()
            kind = image.format
    except (UnidentifiedImageError, Image.DecompressionBombError, OSError, SyntaxError, struct.error) as error:
        reason = "media_empty" if not data else "media_unreadable"
        problem = "media file is empty (0 bytes)" if not data else "not readable as PNG or JPEG"
        raise MediaError(problem, reason=reason, where=source, fix="take it from its source again") from error
    kept = _png(data, orientation) if kind == "PNG" else _jpeg(data, orientation)
    turned = orientation in (5, 6, 7, 8)
    return b"".join(kept), height if turned else width, width if turned else height


def _png(data: bytes, orientation: int) -> Iterator[bytes]:
    yield _PNG_SIGNATURE
    at, marked = len(_PNG_SIGNATURE), orientation == 1
    while at < len(data):
        end = at + 12 + int.from_bytes(data[at : at + 4])
        kind = data[at + 4 : at + 8]
        if not marked and kind == b"IDAT":
            marked = True
            chunk = b"eXIf" + _exif(orientation).removeprefix(b"Exif\0\0")
            yield struct.pack(">I", len(chunk) - 4) + chunk + struct.pack(">I", zlib.crc32(chunk))
        if kind in _PNG_KEPT:
            yield data[at:end]
        at = end


def _jpeg(data: bytes, orientation: int) -> Iterator[bytes]:
    yield data[:2]
    at, marked = 2, orientation == 1
    while at + 4 <= len(data) and data[at + 1] != _JPEG_START_OF_SCAN:
        marker, end = data[at + 1], at + 2 + int.from_bytes(data[at + 2 : at + 4])
        if marker == 0xFF:  # a fill byte
            at += 1
            continue
        if not marked and marker != _JPEG_APP0:
            marked = True
            body = _exif(orientation)
            yield b"\xff\xe1" + struct.pack(">H", len(body) + 2) + body
        if (not 0xE0 <= marker <= 0xEF and marker != _JPEG_COMMENT) or data[at + 4 : end].startswith(_JPEG_KEPT_APPS):
            yield data[at:end]
        at = end
    yield data[at:]


def _exif(orientation: int) -> bytes:
    exif = Image.Exif()
    exif[_ORIENTATION] = orientation
    return exif.tobytes()
