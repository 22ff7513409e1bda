"""Several images as the frames of one film: the views of a study, each to the bit, padded to one size."""

from __future__ import annotations

import struct
from collections.abc import Sequence
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
from PIL import Image, ImageOps, UnidentifiedImageError

from suture.video.reading import MediaError


def write_film(sources: Sequence[Path], target: Path) -> tuple[int, int]:
    """Writes images as a lossless video of one frame a second, each centred on black at the largest one's size.

    Returns:
        Width and height, in pixels.

    Raises:
        MediaError: a file is no PNG or JPEG, or damaged; it is named.
    """
    pictures = [_upright(path) for path in sources]
    width, height = (max(picture.size[side] for picture in pictures) for side in (0, 1))
    # The container is open for writing alone; one thread and no tags give the same bytes each time.
    with av.open(str(target), "w", format="mp4", options={"fflags": "+bitexact"}) as container:
        stream = container.add_stream("libx264rgb", rate=Fraction(1), options={"qp": "0", "threads": "1"})
        stream.width, stream.height, stream.pix_fmt = width, height, "rgb24"
        stream.codec_context.flags |= av.codec.context.Flags.bitexact
        for picture in pictures:
            canvas = Image.new("RGB", (width, height))
            canvas.paste(picture, ((width - picture.width) // 2, (height - picture.height) // 2))
            container.mux(stream.encode(av.VideoFrame.from_ndarray(np.asarray(canvas), format="rgb24")))
        container.mux(stream.encode())
    return width, height


def _upright(path: Path) -> Image.Image:
    try:
        with Image.open(path, formats=("PNG", "JPEG")) as image:
            return ImageOps.exif_transpose(image).convert("RGB")
    except (UnidentifiedImageError, Image.DecompressionBombError, OSError, SyntaxError, struct.error) as error:
        raise MediaError(
            "not readable as PNG or JPEG",
            reason="media_unreadable",
            where=path,
            fix="take it from its source again",
        ) from error
