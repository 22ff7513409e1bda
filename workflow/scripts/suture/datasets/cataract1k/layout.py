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

from suture.errors import InputError

VIDEO_SUFFIXES = (".mp4", ".m4v", ".mov", ".mkv", ".avi", ".mpg", ".mpeg", ".webm", ".wmv", ".ts")

_SETTLED_NS = 2_000_000_000
_CASE = re.compile(r"case[ _-]?(\d+)", re.IGNORECASE)
# The images of case_5315 are named case_53153_<k>.png.
_ODD_IMAGE_NUMBERS = {"53153": "5315"}
# Folders that hold case folders, lower case, below the root or its folder "annotations".
_PARENTS = (
    ("phase_annotations",),
    ("segment_annotations",),
    ("segment_annotations", "cases"),
    ("cases",),
    ("coco_annotations",),
    ("coco-annotations",),
    ("images_and_supervisely_annotations",),
    ("images-and-supervisely-annotations",),
)


@dataclass
class Listing:
    """The entries of a folder: by lower-case name, and by the case in their name."""

    names: dict[str, list[str]] = field(default_factory=dict)
    cases: dict[str, list[str]] = field(default_factory=dict)


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
    return sorted({case for parent in _parents(root) for case in _listing(parent).cases})


def annotation_files(root: Path, case: str) -> tuple[list[Path], list[Path]]:
    """Returns the phase files and the object files of a case, sorted.

    The publisher ships the same objects as COCO and as Supervisely files:
    where both are there, COCO is read.
    """
    phases: list[Path] = []
    coco: list[Path] = []
    supervisely: list[Path] = []
    for folder in (parent / name for parent in _parents(root) for name in _listing(parent).cases.get(case, ())):
        phases += _entries(folder, "_annotations_phases.csv")
        # The publisher's own scripts look for this name, which the release does not have.
        phases += _entries(folder, "_annotations.csv")
        for below in (folder, *_named(folder, "annotations")):
            coco += _named(below, "instances.json")
        for below in _named(folder, "ann"):
            supervisely += _entries(below, ".json")
    return sorted(phases), sorted(coco) or sorted(supervisely)


def videos(root: Path, case: str) -> list[Path]:
    """Returns the video of a case, as a list of one, or of none.

    Raises:
        InputError: several files could be the video of this case.
    """
    for folder in (root, *_named(root, "videos")):
        exact = folder / f"{case}.mp4"
        if exact.is_file():
            return [exact]
        named = [one for one in _video_files(folder) if case_of(one.stem) == case]
        own = [one for name in _listing(folder).cases.get(case, ()) for one in _video_files(folder / name)]
        found = sorted(named or [one for one in own if case_of(one.stem) == case] or own)
        if len(found) > 1:
            raise InputError(
                f"{case} has {len(found)} video files: {', '.join(one.name for one in found)}",
                where=found[0].parent,
                fix=f"name the right one {case}.mp4, in {folder}",
            )
        if found:
            return found
    return []


def _parents(root: Path) -> Iterator[Path]:
    for base in (root, *_named(root, "annotations")):
        yield base
        for levels in _PARENTS:
            here = [base]
            for level in levels:
                here = [one for folder in here for one in _named(folder, level)]
            yield from here


def _named(folder: Path, name: str) -> list[Path]:
    return [folder / one for one in _listing(folder).names.get(name, ())]


def _entries(folder: Path, suffix: str) -> list[Path]:
    # "._x" files are what macOS leaves on foreign disks.
    names = _listing(folder).names.items()
    return [folder / one for name, all_ in names if name.endswith(suffix) and name[0] != "." for one in all_]


def _video_files(folder: Path) -> list[Path]:
    return [one for suffix in VIDEO_SUFFIXES for one in _entries(folder, suffix)]


def _listing(folder: Path) -> Listing:
    try:
        changed_ns = folder.stat().st_mtime_ns
        # A folder's time of change is coarse: one that was changed just now may change again unnoticed.
        settled = time.time_ns() - changed_ns > _SETTLED_NS
        return _settled_scan(str(folder), changed_ns) if settled else _scan(str(folder))
    except (FileNotFoundError, NotADirectoryError):
        return Listing()


def _scan(folder: str) -> Listing:
    found = Listing()
    for name in sorted(entry.name for entry in os.scandir(folder)):
        found.names.setdefault(name.lower(), []).append(name)
        case = case_of(name)
        if case is not None:
            found.cases.setdefault(case, []).append(name)
    return found


@lru_cache(maxsize=100_000)
def _settled_scan(folder: str, changed_ns: int) -> Listing:
    del changed_ns  # only a part of the cache's key
    return _scan(folder)
