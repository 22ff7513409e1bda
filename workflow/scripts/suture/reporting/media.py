"""Frames of clips, taken from the frame caches, as small pictures inside the page."""

from __future__ import annotations

import base64
import io
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from suture.frames import FrameCache

FRAMES = (4, 2, 1)
"""Frames of a strip; fewer where the page has no room for more."""
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


class Pictures:
    """Strips of clips' frames, made when asked for, until the page is full.

    Experiments that see frames at different sizes have a cache folder each; a
    clip's strip comes from the first folder, by name, that holds it.

    Args:
        manifests: of the frame caches.
        budget: bytes of pictures in the page.
        parts: experiments that share the budget; :meth:`next_part` begins each. What a part leaves goes to the next.

    Attributes:
        thinned: strips with fewer frames than others, for want of room.
        left_out: strips that found no room at all.
    """

    def __init__(self, manifests: Sequence[Path], *, budget: int = BUDGET, parts: int = 1) -> None:
        folders: dict[Path, list[Path]] = defaultdict(list)
        for manifest in sorted(manifests):
            folders[manifest.parent].append(manifest)
        self._caches = [FrameCache(paths) for _, paths in sorted(folders.items())]
        self._share = budget // max(1, parts)
        self._room = 0
        self.thinned = 0
        self.left_out = 0

    def next_part(self) -> None:
        """Gives the next experiment its share of the room."""
        self._room += self._share

    def strip(self, clip: str) -> Strip | None:
        """Gives a clip's first and last frame and two between; fewer where the page is nearly full.

        None where the page is full, or no frame is cached.
        """
        cache = next((cache for cache in self._caches if clip in cache), None)
        frames = None if cache is None else cache.frames(clip)
        if frames is None or not len(frames):
            return None
        for count in FRAMES:
            made = _strip(frames, count)
            # Each use costs its bytes: the page holds the picture once for every experiment that shows it.
            if len(made.uri) <= self._room:
                self._room -= len(made.uri)
                self.thinned += count < FRAMES[0]
                return made
        self.left_out += 1
        return None


def _strip(frames: NDArray[np.uint8], count: int) -> Strip:
    last = len(frames) - 1
    chosen = sorted({round(i * last / (count - 1)) for i in range(count)}) if count > 1 else [last // 2]
    images = [_shrink(Image.fromarray(np.asarray(frames[i]))) for i in chosen]
    width, height = images[0].size
    joined = Image.new("RGB", (width * len(images), height))
    for place, image in enumerate(images):
        joined.paste(image, (place * width, 0))
    buffer = io.BytesIO()
    joined.save(buffer, format="JPEG", quality=85, subsampling=0)
    uri = "data:image/jpeg;base64," + base64.b64encode(buffer.getvalue()).decode()
    return Strip(uri=uri, width=joined.width, height=joined.height, frames=len(images))


def _shrink(image: Image.Image) -> Image.Image:
    if image.width <= WIDTH:
        return image
    return image.resize((WIDTH, max(1, round(image.height * WIDTH / image.width))), Image.Resampling.LANCZOS)
