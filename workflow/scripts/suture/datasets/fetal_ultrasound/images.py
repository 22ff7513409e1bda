"""Where the images of a category lie: a folder of its name, or of its misspelt name, anywhere under the root."""

from __future__ import annotations

import os
from collections.abc import Iterable
from functools import lru_cache
from pathlib import Path, PurePosixPath

from suture.datasets.fetal_ultrasound import categories

SUFFIXES = (".png", ".jpg", ".jpeg")

Folders = dict[str, dict[str, Path]]
"""Folder name to its images by file name; of folders with one name, all images."""


def folders(videos: Path) -> Folders:
    """Returns the folders under a root that have images, with those images."""
    return _folders(str(videos))


@lru_cache(maxsize=4)
def _folders(videos: str) -> Folders:
    # Once a process: each of thousands of cases asks.
    found: Folders = {}
    for parent, inner, names in os.walk(videos, followlinks=True):
        inner[:] = sorted(name for name in inner if not name.startswith("."))
        for name in sorted(names):
            if name.lower().endswith(SUFFIXES) and not name.startswith("."):
                found.setdefault(Path(parent).name, {}).setdefault(name, Path(parent, name))
    return found


def of_category(videos: Path, category: str, others: Iterable[str]) -> dict[str, Path]:
    """Returns the images of a category by file name.

    Args:
        videos: root of the images.
        category: canonical.
        others: all categories of the data.
    """
    return _of_category(str(videos), category, tuple(others))


@lru_cache(maxsize=64)
def _of_category(videos: str, category: str, others: tuple[str, ...]) -> dict[str, Path]:
    there = _folders(videos)
    found: dict[str, Path] = {}
    for name in categories.folder_of(category, there, others):
        found |= {image: path for image, path in there[name].items() if image not in found}
    return found


def find(videos: Path, category: str, image: str, others: Iterable[str]) -> Path | None:
    """Finds an image: by its name as it stands, then in another case, then by its name without a suffix."""
    direct = videos / image
    if "/" in image and direct.is_file():
        return direct
    there = of_category(videos, category, others)
    name = PurePosixPath(image).name
    if name in there:
        return there[name]
    by_case = [path for other, path in there.items() if other.casefold() == name.casefold()]
    by_stem = [path for path in there.values() if path.stem.casefold() in (name.casefold(), _stem(name))]
    matches = by_case or by_stem
    return matches[0] if len(matches) == 1 else None


def _stem(name: str) -> str:
    return PurePosixPath(name).stem.casefold() if name.lower().endswith(SUFFIXES) else name.casefold()
