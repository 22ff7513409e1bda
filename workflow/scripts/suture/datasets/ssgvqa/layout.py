"""Where SSG-VQA's files lie: a folder of texts for each video, one text a frame; frames of CholecT45 or CholecT50."""

from __future__ import annotations

import os
import re
from functools import lru_cache
from pathlib import Path

from suture.datasets.ssgvqa.vocabulary import SPLIT
from suture.errors import InputError

_INSIDE = ("", "qa_txt", "data/qa_txt", "ssg-qa", "data/ssg-qa")
_FRAMES_INSIDE = ("", "data", "videos")
_SUFFIXES = (".png", ".jpg", ".jpeg")
_VIDEO = re.compile(r"VID\d+")
CLEAN = "_clean"

OFFICIAL = frozenset(video for videos in SPLIT.values() for video in videos)


def questions(root: Path) -> Path:
    """Finds the folder that holds a folder of each video: the root, or one of the publisher's names in it.

    Raises:
        InputError: there is none.
    """
    for inner in _INSIDE:
        if (root / inner).is_dir() and any(map(_VIDEO.match, _names(root / inner))):
            return root / inner
    raise InputError(
        "no folder of a video", where=root, fix="give the folder with VID01/, VID02/, ...: SSG-VQA's qa_txt"
    )


def folders(root: Path, *, clean: bool) -> dict[str, Path]:
    """Returns the folder of each official video that has one.

    Args:
        root: of the dataset.
        clean: take the test videos' questions from ``VID02_clean`` and its like.
    """
    inside = questions(root)
    found = {}
    for split, videos in SPLIT.items():
        for video in videos:
            folder = inside / (f"{video}{CLEAN}" if clean and split == "test" else video)
            if folder.is_dir():
                found[video] = folder
    return dict(sorted(found.items()))


def others(root: Path, used: dict[str, Path]) -> list[str]:
    """Names the folders of videos that are not used: of the other test variant, or in no official split."""
    names = {path.name for path in used.values()}
    inside = questions(root)
    return sorted(n for n in _names(inside) if _VIDEO.match(n) and n not in names and (inside / n).is_dir())


def _names(folder: Path) -> list[str]:
    return [path.name for path in folder.iterdir()]


def texts(folder: Path) -> tuple[dict[int, Path], list[Path]]:
    """Returns a video's texts by frame number, and those whose name is no number."""
    numbered: dict[int, Path] = {}
    odd = []
    for path in sorted(folder.glob("*.txt")):
        if path.stem.isdecimal() and int(path.stem) not in numbered:
            numbered[int(path.stem)] = path
        else:
            odd.append(path)
    return dict(sorted(numbered.items())), odd


def image(video: str, frame: int) -> str:
    """Returns the name of a frame's image, below the folder of all videos."""
    return f"{video}/{frame:06d}.png"


def images(videos: Path, video: str) -> dict[int, Path]:
    """Returns a video's images by frame number, wherever CholecT45 and CholecT50 put them; {} where there are none."""
    for inner in _FRAMES_INSIDE:
        found = _images(videos / inner / video)
        if found:
            return found
    return {}


@lru_cache(maxsize=64)
def _images(folder: Path) -> dict[int, Path]:
    if not folder.is_dir():
        return {}
    paths = (Path(entry.path) for entry in os.scandir(folder))
    return {int(p.stem): p for p in sorted(paths) if p.suffix.lower() in _SUFFIXES and p.stem.isdecimal()}
