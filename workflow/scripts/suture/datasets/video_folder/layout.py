"""Where a folder of videos lists them: its lines, as they are written."""

from __future__ import annotations

import csv
import os
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from suture import files
from suture.errors import InputError

SPLITS = ("train", "val", "test")
_OTHER_NAMES = {"valid": "val", "validation": "val", "training": "train", "testing": "test"}
_LISTS = (".txt", ".csv")
LABELS = ("labels.txt", "classInd.txt")
PATIENTS = "patients.csv"
VIDEO_SUFFIXES = (".avi", ".m4v", ".mkv", ".mov", ".mp4", ".mpeg", ".mpg", ".webm", ".wmv")


@dataclass(frozen=True, kw_only=True)
class Line:
    """One video as it is listed: its ``media`` path from the videos root, '' where the line has none.

    ``dataset`` is the folder's name where several lie beside each other, else
    ''. ``split`` is '' where there is none. ``file`` is where it is listed.
    """

    dataset: str
    split: str
    media: str
    label: str
    patient: str
    file: Path
    row: int
    problem: str = ""

    @property
    def where(self) -> str:
        """File and line, for a user."""
        return f"{self.file.name}:{self.row}" if self.file.suffix else f"{self.file.name}/"


@dataclass(frozen=True, kw_only=True)
class Listed:
    """A dataset's folder: ``root`` holds its lists or class folders, ``files`` are what it is read from."""

    name: str
    root: Path
    files: tuple[Path, ...]
    lines: tuple[Line, ...]
    labels: tuple[str, ...]


def read(root: Path) -> list[Listed]:
    """Reads the dataset under a folder, or those in the folders in it.

    Raises:
        InputError: there is no list and no class folder, or a list cannot be read.
    """
    if not root.is_dir():
        raise InputError("no such folder", where=root)
    if _is_dataset(root):
        return [_read(root, "")]
    inner = [path for path in sorted(root.iterdir()) if path.is_dir() and _is_dataset(path)]
    if not inner:
        raise InputError(
            "neither lists of videos nor folders named by class",
            where=root,
            fix="splits/train.txt with lines of path,label and videos/, or train/<class>/<video>",
        )
    return [_read(path, path.name) for path in inner]


def _is_dataset(folder: Path) -> bool:
    return bool(_lists(folder)) or any(_class_folders(folder))


def _lists(folder: Path) -> list[tuple[str, Path]]:
    """Finds the lists of a dataset, in ``splits`` or in the folder itself."""
    found = []
    for place in (folder / "splits", folder):
        for path in sorted(place.iterdir()) if place.is_dir() else ():
            split = _split_of(path.stem)
            if path.suffix.lower() in _LISTS and split and not path.name.startswith("."):
                found.append((split, path))
        if found:
            break
    for split in {split for split, _ in found}:
        same = [path for one, path in found if one == split]
        if len(same) > 1:
            raise InputError(
                f"{same[0].name} and {same[1].name} both list {split}", where=same[0].parent, fix="leave one of them"
            )
    return sorted(found, key=lambda one: SPLITS.index(one[0]))


def _split_of(name: str) -> str | None:
    plain = name.lower()
    plain = _OTHER_NAMES.get(plain, plain)
    return plain if plain in SPLITS else None


def _class_folders(folder: Path) -> Iterator[tuple[str, Path]]:
    """Yields (split, folder of a class): split folders first, else classes without a split."""
    inside = [path for path in sorted(folder.iterdir()) if path.is_dir() and not path.name.startswith(".")]
    splits = [(split, path) for path in inside if (split := _split_of(path.name))]
    places = splits or [("", folder)]
    for split, place in places:
        for path in sorted(place.iterdir()):
            named = path.is_dir() and not path.name.startswith(".") and (split or path.name not in ("videos", "splits"))
            if named and any(_is_video(one) for one in path.iterdir()):
                yield split, path


def _is_video(path: Path) -> bool:
    return path.suffix.lower() in VIDEO_SUFFIXES and not path.name.startswith(".")


def _read(root: Path, name: str) -> Listed:
    lists = _lists(root)
    prefix = f"{name}/" if name else ""
    if lists:
        place = lists[0][1].parent
        named = next((place / one for one in LABELS if (place / one).is_file()), None)
        patients = _patients(place / PATIENTS)
        prefix += "videos/" if name else ""
        lines = [line for split, path in lists for line in _lines(path, split, name, prefix, patients)]
        more = [path for path in (named, place / PATIENTS) if path is not None and path.is_file()]
        if unknown := sorted(patients.keys() - {line.media.removeprefix(prefix) for line in lines}):
            raise InputError(f"{unknown[0]!r} is in no list", where=place / PATIENTS, fix="remove it, or list it")
        read_from = (*(path for _, path in lists), *more)
        return Listed(name=name, root=root, files=read_from, lines=tuple(lines), labels=_labels(named))
    patients = _patients(root / PATIENTS)
    found = []
    for split, folder in _class_folders(root):
        for number, path in enumerate(sorted(filter(_is_video, folder.iterdir())), start=1):
            inner = path.relative_to(root).as_posix()
            found.append(
                Line(
                    dataset=name,
                    split=split,
                    media=prefix + inner,
                    label=folder.name,
                    patient=patients.get(inner, ""),
                    file=folder,
                    row=number,
                )
            )
    named = next((root / one for one in LABELS if (root / one).is_file()), None)
    more = [path for path in (named, root / PATIENTS) if path is not None and path.is_file()]
    return Listed(name=name, root=root, files=tuple(more), lines=tuple(found), labels=_labels(named))


def _rows(path: Path) -> Iterator[tuple[int, list[str]]]:
    """Yields line number and cells of a list, without blank lines and comments."""
    reader = csv.reader(files.read_text(path).splitlines())
    try:
        for cells in reader:
            stripped = [cell.strip() for cell in cells]
            if any(stripped) and not stripped[0].startswith("#"):
                yield reader.line_num, stripped
    except csv.Error as error:
        raise InputError(f"not a list of videos: {error}", where=f"{path}:{reader.line_num}") from error


def _lines(path: Path, split: str, name: str, prefix: str, patients: dict[str, str]) -> Iterator[Line]:
    for number, (row, cells) in enumerate(_rows(path)):
        if number == 0 and len(cells) > 1 and cells[1].lower() in ("label", "class"):
            continue  # a header, which the published lists do not have
        media = os.path.normpath(cells[0].replace("\\", "/")) if cells[0] else ""
        if media.startswith(("/", "..")) or re.match("[A-Za-z]:", media):
            raise InputError(
                f"{cells[0]!r} leads out of the videos folder",
                where=f"{path}:{row}",
                fix="give paths relative to videos/",
            )
        problem = ""
        if not 2 <= len(cells) <= 3:
            problem = f"{len(cells)} cells, not path,label or path,label,patient"
        yield Line(
            dataset=name,
            split=split,
            media=prefix + media if media else "",
            label=cells[1] if len(cells) > 1 else "",
            patient=(cells[2] if len(cells) == 3 else "") or patients.get(media, ""),
            file=path,
            row=row,
            problem=problem,
        )


def _patients(path: Path) -> dict[str, str]:
    """Reads whose video each is; {} where no file says it."""
    found: dict[str, str] = {}
    if not path.is_file():
        return found
    for number, (row, cells) in enumerate(_rows(path)):
        if number == 0 and len(cells) == 2 and cells[1].lower() in ("patient", "patient_id", "case", "subject"):
            continue
        if len(cells) != 2 or not all(cells):
            raise InputError("not a line of path,patient", where=f"{path}:{row}")
        media = os.path.normpath(cells[0].replace("\\", "/"))
        if found.setdefault(media, cells[1]) != cells[1]:
            raise InputError(f"{media!r} is of {found[media]!r} and of {cells[1]!r}", where=f"{path}:{row}")
    return found


def _labels(path: Path | None) -> tuple[str, ...]:
    """Reads the names of the classes in the order of their numbers: one a line, or ``0 name`` as in classInd.txt."""
    if path is None:
        return ()
    lines = [line.strip() for line in files.read_text(path).splitlines() if line.strip()]
    parts = [re.fullmatch(r"(\d+)[\s,]+(.+)", line) for line in lines]
    if all(parts):
        numbers = [int(part[1]) for part in parts if part]
        names = [part[2].strip() for part in parts if part]
        first = min(numbers, default=0)
        if sorted(numbers) != list(range(first, first + len(numbers))):
            raise InputError("the numbers of the classes have a gap or a repeat", where=path)
        return tuple(name for _, name in sorted(zip(numbers, names, strict=True)))
    if len({line.casefold() for line in lines}) < len(lines):
        raise InputError("a class is named twice", where=path)
    return tuple(lines)
