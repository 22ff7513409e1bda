"""REAL-Colon-VQA (SurgViVQA): questions about short runs of colonoscopy frames, in JSON Lines.

A row names its video and the frames it is about; a run of frames is a segment,
its frames the images ``<video>_frames/<frame>.jpg``, and becomes a clip of just
these. The published ids are not unique (3,750 of 5,200): a question is known
by file and line. The publisher tests on video 002-006, which is never trained on.
"""

from __future__ import annotations

import json
import os
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path, PurePath
from typing import Any

from suture import delimited, files
from suture.errors import InputError
from suture.records import Case, Rejection, Segment, Turn

SHARING = "internal"
OBJECT_KINDS: dict[str, str] = {}
REFERENCES: tuple[str, ...] = ()
TEST_VIDEO = "002-006"
NEVER_TRAINED = frozenset({TEST_VIDEO})
LABEL = "Unlabelled"
_NEEDED = ("video_id", "frames", "question", "answer")


@dataclass(frozen=True, kw_only=True)
class _Row:
    """A usable line: ``frames`` are names without suffix, in order."""

    file: str
    line: int
    video: str
    frames: tuple[str, ...]
    turn: Turn

    @property
    def where(self) -> str:
        return f"{self.file}:{self.line}"


@dataclass(frozen=True, kw_only=True)
class _Read:
    rows: dict[str, tuple[_Row, ...]]
    files: dict[str, tuple[Path, ...]]
    rejected: tuple[Rejection, ...]


def case_ids(root: Path) -> list[str]:
    """Lists the videos that are asked about, sorted.

    Raises:
        InputError: no file of JSON Lines, or no usable line in any.
    """
    return sorted(_read(root).rows)


def case_files(root: Path, case: str) -> list[Path]:
    """Lists the files that have lines of a video."""
    _rows(root, case)
    return list(_read(root).files[case])


def case_media(root: Path, videos: Path, case: str) -> list[Path]:
    """Lists the images that are asked about, those that exist, in a folder of the videos root or of its ``videos``."""
    folder = next((p for p in (videos / _folder(case), videos / "videos" / _folder(case)) if p.is_dir()), None)
    if folder is None:
        return []
    asked = {frame for row in _rows(root, case) for frame in row.frames}
    there = (entry.name for entry in os.scandir(folder))
    return [folder / name for name in sorted(there) if PurePath(name).stem in asked and _is_image(name)]


def read_case(root: Path, case: str) -> Case:
    """Reads a video's lines: each distinct run of frames is one segment with its questions.

    Times are the numbers of its first and last frame. Rejections, of lines: duplicate_row.
    """
    found: dict[tuple[str, ...], list[_Row]] = {}
    rejected = []
    for row in _rows(root, case):
        before = found.setdefault(row.frames, [])
        same = next((one for one in before if one.turn == row.turn), None)
        if same is None:
            before.append(row)
        else:
            detail = f"{row.where}: the same question and answer as at {same.where}"
            rejected.append(_rejection(case, row.where, "duplicate_row", detail))
    segments = [
        Segment(
            label=LABEL,
            published="",
            media=_folder(case),
            start_s=float(number_of(frames[0])),
            end_s=float(number_of(frames[-1])),
            row=rows[0].line,
            annotation=rows[0].file,
            whole=True,
            turns=tuple(row.turn for row in rows),
            frames=tuple(f"{_folder(case)}/{frame}" for frame in frames),
        )
        for frames, rows in found.items()
    ]
    return Case(id=case, segments=tuple(segments), rejected=tuple(rejected))


def case_digest(root: Path, case: str) -> str:
    """Returns a digest of a video's lines: all videos share the files."""
    return files.sha256_text(repr([(row.file, row.frames, row.turn) for row in _rows(root, case)]))


def read_split(root: Path) -> dict[str, str]:
    """Returns the published split: video 002-006 is tested, the others are trained on; there is no validation set."""
    return {case: "test" if case == TEST_VIDEO else "train" for case in case_ids(root)}


def general(root: Path, videos: Path | None) -> list[Rejection]:
    """Reports the lines that cannot be read: not_json, missing_key, bad_frames."""
    return list(_read(root).rejected)


def number_of(frame: str) -> int:
    """Returns the number of a frame from its name, ``002-003_3806``."""
    return int(frame.rpartition("_")[2])


def _is_image(name: str) -> bool:
    return PurePath(name).suffix.lower() in (".jpg", ".jpeg", ".png")


def _folder(case: str) -> str:
    return f"{case}_frames"


def _rows(root: Path, case: str) -> tuple[_Row, ...]:
    known = _read(root).rows
    if case not in known:
        raise InputError(f"no line of video {case!r}{delimited.nearest(case, sorted(known))}", where=root)
    return known[case]


def _read(root: Path) -> _Read:
    paths = [root] if root.is_file() else sorted(root.glob("*.jsonl"))
    if not paths:
        raise InputError("no file of JSON Lines", where=root, fix="give the folder with the publisher's .jsonl files")
    return _parse(tuple((str(path), path.stat().st_mtime_ns, path.stat().st_size) for path in paths))


@lru_cache(maxsize=4)
def _parse(stamps: tuple[tuple[str, int, int], ...]) -> _Read:
    """Reads all files once for as long as they are unchanged."""
    rows: dict[str, list[_Row]] = {}
    named: dict[str, set[Path]] = {}
    rejected = []
    for name, _, _ in stamps:
        path = Path(name)
        for number, text in enumerate(files.read_text(path).splitlines(), start=1):
            if not text.strip():
                continue
            found = _row(path.name, number, text)
            if isinstance(found, Rejection):
                rejected.append(found)
            else:
                rows.setdefault(found.video, []).append(found)
                named.setdefault(found.video, set()).add(path)
    if not rows:
        raise InputError("no usable line", where=stamps[0][0], fix=rejected[0].detail if rejected else "")
    return _Read(
        rows={video: tuple(found) for video, found in rows.items()},
        files={video: tuple(sorted(paths)) for video, paths in named.items()},
        rejected=tuple(rejected),
    )


def _row(file: str, line: int, text: str) -> _Row | Rejection:
    where = f"{file}:{line}"
    try:
        raw: Any = json.loads(text)
    except ValueError as error:
        return _rejection("", where, "not_json", f"{where}: {error}")
    missing = [key for key in _NEEDED if not isinstance(raw, dict) or not raw.get(key)]
    if missing:
        return _rejection("", where, "missing_key", f"{where}: no {', '.join(missing)}")
    frames = raw["frames"]
    usable = isinstance(frames, list) and all(
        isinstance(one, str) and one.rpartition("_")[2].isdecimal() and "/" not in one for one in frames
    )
    if not usable or [number_of(one) for one in frames] != sorted({number_of(one) for one in frames}):
        return _rejection(str(raw["video_id"]), where, "bad_frames", f"{where}: frames are no rising numbers")
    turn = Turn(
        question=str(raw["question"]).strip(),
        answer=str(raw["answer"]).strip(),
        kind=str(raw.get("question_type") or "question"),
    )
    return _Row(file=file, line=line, video=str(raw["video_id"]), frames=tuple(frames), turn=turn)


def _rejection(case: str, where: str, reason: str, detail: str) -> Rejection:
    return Rejection(stage="annotations", reason=reason, case=case, where=where, detail=detail)
