"""Where the files of Cataract-1K lie, in the layouts that are in use.

Listings are kept for as long as their folder is unchanged: while a Snakefile
is parsed, each case asks for its files.
"""

from __future__ import annotations

import os
import re
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path

VIDEO_SUFFIXES = (".mp4", ".m4v", ".mov", ".mkv", ".avi", ".mpg", ".mpeg", ".webm", ".wmv", ".ts")

_SETTLED_NS = 2_000_000_000
_CASE = re.compile(r"case[ _-]?(\d+)", re.IGNORECASE)
# The images of case_5315 are named case_53153_<k>.png.
_ODD_IMAGE_NUMBERS = {"53153": "5315"}
# Folders that hold case folders, or a folder "cases" with them: lower case, below the root or its folder "annotations".
_PARENTS = (
    "phase_annotations",
    "segment_annotations",
    "cases",
    "coco_annotations",
    "coco-annotations",
    "images_and_supervisely_annotations",
    "images-and-supervisely-annotations",
)


@dataclass
class Listing:
    """The entries of a folder: by lower-case name; case folders and videos also by the case they are named after.

    Paths are plain strings here: 10,000 cases ask while a Snakefile is parsed.
    """

    folder: str
    names: dict[str, list[str]] = field(default_factory=dict)
    cases: dict[str, list[str]] = field(default_factory=dict)
    videos: dict[str, list[str]] = field(default_factory=dict)

    def named(self, name: str) -> list[str]:
        """Returns the paths of the entries of this name (lower case)."""
        return [f"{self.folder}/{one}" for one in self.names.get(name, ())]

    def ending(self, *suffixes: str) -> list[str]:
        """Returns the paths of the entries that end like this; hidden ones are what macOS leaves on foreign disks."""
        names = self.names.items()
        return [
            f"{self.folder}/{one}" for name, all_ in names if name.endswith(suffixes) for one in all_ if one[0] != "."
        ]

    def folders_of(self, case: str) -> list[str]:
        """Returns the paths of the folders named after a case."""
        return [f"{self.folder}/{one}" for one in self.cases.get(case, ())]

    def videos_of(self, case: str) -> list[str]:
        """Returns the paths of the videos named after a case."""
        return [f"{self.folder}/{one}" for one in self.videos.get(case, ())]


def case_of(name: str) -> str | None:
    """Returns the case that a folder or a video is named after, or None: ``Case5013`` is case_5013."""
    match = _CASE.fullmatch(name)
    return f"case_{match[1]}" if match else None


def case_of_image(name: str) -> str | None:
    """Returns the case that an image's name begins with, or None: ``case5013_01.png`` is of case_5013."""
    match = _CASE.match(name)
    return f"case_{_ODD_IMAGE_NUMBERS.get(match[1], match[1])}" if match else None


def shown(root: Path, path: Path) -> str:
    """Returns a path as manifests name it: relative to the root of the annotations."""
    return Path(os.path.relpath(path, root)).as_posix()


def case_ids(root: Path) -> list[str]:
    """Lists the cases that have a folder under ``root``, sorted."""
    return sorted({case for parent in _parents(root) for case in parent.cases})


def annotation_files(root: Path, case: str) -> tuple[list[Path], list[Path]]:
    """Returns the phase files and the object files of a case, sorted.

    The publisher ships the same objects as COCO and as Supervisely files:
    where both are there, COCO is read.
    """
    phases: list[str] = []
    coco: list[str] = []
    supervisely: list[str] = []
    for folder in (_list(one) for parent in _parents(root) for one in parent.folders_of(case)):
        # The publisher's own scripts look for the second name, which the release does not have.
        phases += folder.ending("_annotations_phases.csv", "_annotations.csv")
        coco += folder.named("instances.json")
        for below in folder.named("annotations"):
            coco += _list(below).named("instances.json")
        for below in folder.named("ann"):
            supervisely += _list(below).ending(".json")
    return sorted(map(Path, phases)), sorted(map(Path, coco or supervisely))


def videos(root: Path, case: str) -> list[Path]:
    """Returns the video of a case, as a list; several where it is not clear which one it is."""
    top = _list(str(root))
    for folder in (top, *map(_list, top.named("videos"))):
        own = [_list(one) for one in folder.folders_of(case)]
        named = folder.videos_of(case) or [one for below in own for one in below.videos_of(case)]
        exact = [one for one in named if one.endswith(f"/{case}.mp4")]
        found = exact or named or [one for below in own for one in below.ending(*VIDEO_SUFFIXES)]
        if found:
            return sorted(map(Path, found))
    return []


def _parents(root: Path) -> Iterator[Listing]:
    top = _list(str(root))
    for base in (top, *map(_list, top.named("annotations"))):
        yield base
        for below in (_list(one) for name in _PARENTS for one in base.named(name)):
            yield below
            yield from map(_list, below.named("cases"))


def _list(folder: str) -> Listing:
    try:
        changed_ns = Path(folder).stat().st_mtime_ns
        # A folder's time of change is coarse: one that was changed just now may change again unnoticed.
        settled = time.time_ns() - changed_ns > _SETTLED_NS
        return _settled_scan(folder, changed_ns) if settled else _scan(folder)
    except (FileNotFoundError, NotADirectoryError):
        return Listing(folder)


def _scan(folder: str) -> Listing:
    found = Listing(folder)
    with os.scandir(folder) as entries:
        names = sorted(entry.name for entry in entries)
    for name in names:
        found.names.setdefault(name.lower(), []).append(name)
        stem, _, suffix = name.rpartition(".")
        by_case = found.videos if f".{suffix.lower()}" in VIDEO_SUFFIXES else found.cases
        case = case_of(stem if by_case is found.videos else name)
        if case is not None:
            by_case.setdefault(case, []).append(name)
    return found


@lru_cache(maxsize=100_000)
def _settled_scan(folder: str, changed_ns: int) -> Listing:
    del changed_ns  # only a part of the cache's key
    return _scan(folder)
