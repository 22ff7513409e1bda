"""Frames of clips, taken from the frame caches, as small pictures inside the page."""

from __future__ import annotations

import base64
import io
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import Image

from suture import files
from suture.errors import InputError

FRAMES = 4
WIDTH = 160
"""Widest frame in the page, in pixels."""
BUDGET = 9_000_000
"""Bytes of pictures in one page: with the text it stays below 15 MB."""


@dataclass(frozen=True, kw_only=True)
class Strip:
    """Some frames of a clip side by side, as one data URI; sizes in pixels."""

    uri: str
    width: int
    height: int
    frames: int


class FrameCache:
    """The cached frames of all clips, read when asked for.

    A manifest (JSON Lines with clip, offset, n) stands beside its array
    (frames, height, width, RGB as uint8) of the same name.
    """

    def __init__(self, manifests: Sequence[Path]) -> None:
        self._places: dict[str, tuple[Path, int, int]] = {}
        self._spent = 0
        self.left_out = 0
        for manifest in sorted(path for path in manifests if path.suffix != ".npy"):
            array = manifest.with_suffix(".npy")
            if not array.is_file():
                raise InputError("the frames of this manifest are missing", where=array, fix="run cache_frames again")
            for number, row in enumerate(files.read_jsonl(manifest), start=1):
                try:
                    place = (array, int(row["offset"]), int(row["n"]))
                    self._places.setdefault(str(row["clip"]), place)
                except (KeyError, TypeError, ValueError) as error:
                    raise InputError(
                        "not a line of a frame cache: it needs clip, offset and n", where=f"{manifest}, record {number}"
                    ) from error

    def strip(self, clip: str) -> Strip | None:
        """Gives a clip's first, last and two frames between; None where it is not cached or the page is full."""
        place = self._places.get(clip)
        if place is None or place[2] < 1:
            return None
        path, offset, n = place
        stack = np.load(path, mmap_mode="r")
        if stack.ndim != 4 or stack.shape[3] != 3 or stack.dtype != np.uint8 or offset + n > len(stack):
            raise InputError(
                f"clip {clip!r}: no {n} frames at {offset} in an array of {stack.dtype} {stack.shape}",
                where=path,
                fix="run cache_frames again",
            )
        chosen = sorted({round(i * (n - 1) / (FRAMES - 1)) for i in range(FRAMES)})
        images = [_shrink(Image.fromarray(np.asarray(stack[offset + i]))) for i in chosen]
        joined = Image.new("RGB", (sum(image.width for image in images), images[0].height))
        left = 0
        for image in images:
            joined.paste(image, (left, 0))
            left += image.width
        buffer = io.BytesIO()
        joined.save(buffer, format="JPEG", quality=85, subsampling=0)
        uri = "data:image/jpeg;base64," + base64.b64encode(buffer.getvalue()).decode()
        if self._spent + len(uri) > BUDGET:
            self.left_out += 1
            return None
        self._spent += len(uri)
        return Strip(uri=uri, width=joined.width, height=joined.height, frames=len(images))


def _shrink(image: Image.Image) -> Image.Image:
    if image.width <= WIDTH:
        return image
    return image.resize((WIDTH, max(1, round(image.height * WIDTH / image.width))), Image.Resampling.LANCZOS)
