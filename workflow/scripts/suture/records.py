"""The nouns that flow through the DAG, and their manifests.

A manifest is JSON Lines: one record a line, sorted by id, with the sha256 of
the media it names. Staleness is decided by the content of these small files;
media, caches and checkpoints lie beside them.

``answer`` is always the gold answer, ``prediction`` always the model's.
Times are seconds from the start of the media file.
"""

from __future__ import annotations

import dataclasses
import hashlib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Self

from suture import files
from suture.errors import InputError


@dataclass(frozen=True, kw_only=True)
class Record:
    """Shared by all manifest records: to and from one JSON line."""

    def to_json(self) -> dict[str, Any]:
        """Returns the record as plain JSON values."""
        return dataclasses.asdict(self)

    @classmethod
    def from_json(cls, row: dict[str, Any], *, where: object = None) -> Self:
        """Builds a record from a manifest line.

        Raises:
            InputError: a key is missing or unknown; ``where`` is named.
        """
        known = {f.name for f in dataclasses.fields(cls)}
        unknown = set(row) - known
        try:
            if unknown:
                raise TypeError(f"unknown keys: {', '.join(sorted(unknown))}")
            return cls(**row)
        except TypeError as error:
            raise InputError(
                f"not a {cls.__name__} record: {error}",
                where=where,
                fix="the manifest was made by another version: delete it and run again",
            ) from error


@dataclass(frozen=True, kw_only=True)
class Turn(Record):
    """One question and its gold answer. ``kind`` groups scores: phase, anatomy, instruments, ..."""

    question: str
    answer: str
    kind: str


def annotation_place(row: int, annotation: str) -> str:
    """Words where something is annotated: ``annotation row 7``, of which file where that is known."""
    return f"annotation row {row}" + (f" of {annotation}" if annotation else "")


@dataclass(frozen=True, kw_only=True)
class Segment:
    """A labelled stretch of one media file, as its publisher annotated it.

    ``label`` is the canonical name, ``published`` the publisher's spelling;
    ``row`` the 1-based line of the annotation file. ``whole`` segments become
    one clip as they are; the others are cut into windows. An image or a
    whole file has ``end_s`` None. ``turns`` are questions that the publisher
    already wrote for this stretch. ``annotation`` names the file of the row,
    where a case has more than one. ``beside`` are further images that are
    shown with ``media``, one after the other: the other views of a study. A
    stretch that is published as single images names them in order in
    ``frames``; ``media`` is then their folder, and its times are the numbers of
    the first and the last.
    """

    label: str
    published: str
    media: str
    start_s: float
    end_s: float | None
    row: int
    whole: bool = False
    turns: tuple[Turn, ...] = ()
    annotation: str = ""
    beside: tuple[str, ...] = ()
    frames: tuple[str, ...] = ()

    @property
    def place(self) -> str:
        """Where it is annotated, for a reader."""
        return annotation_place(self.row, self.annotation)

    @property
    def files(self) -> tuple[str, ...]:
        """Names of the media files that it is made of."""
        return self.frames or (self.media, *self.beside)


@dataclass(frozen=True, kw_only=True)
class SeenObject:
    """An annotated object: ``area`` in pixels², ``bbox`` (x, y, width, height) in pixels.

    ``name`` is canonical, ``published`` the publisher's spelling.
    """

    name: str
    published: str
    area: float
    bbox: tuple[float, float, float, float]


@dataclass(frozen=True, kw_only=True)
class Scene:
    """The objects annotated in one frame of a case, at ``time_s``; sizes in pixels."""

    time_s: float
    image: str
    width: int
    height: int
    objects: tuple[SeenObject, ...]


UNREADABLE = "annotation_unreadable"
"""Reason of a case that is left out because its annotation cannot be read."""


@dataclass(frozen=True, kw_only=True)
class Rejection(Record):
    """Something left out, counted and reported: never lost in silence.

    ``reason`` is a short code such as ``phase_too_short``; ``where`` names the
    file and row; ``detail`` is the line a user reads.
    """

    stage: str
    reason: str
    case: str
    where: str
    detail: str


@dataclass(frozen=True, kw_only=True)
class Case:
    """What must never be split: one surgery, one patient, one study."""

    id: str
    segments: tuple[Segment, ...] = ()
    scenes: tuple[Scene, ...] = ()
    rejected: tuple[Rejection, ...] = ()


@dataclass(frozen=True, kw_only=True)
class Clip(Record):
    """A stretch of one case, or one image.

    ``path`` is relative to the run's clips folder. Its wanted frames are
    ``first_frame`` to ``first_frame + n_frames - 1``, counted in display order
    from the file's first frame: a stream copy starts at a keyframe before the
    wanted stretch. ``method`` tells how it was made: copy, reencode, image or
    frames, a run of single images, whose ``fps`` is not known: 0. ``source`` is
    the media file, or the folder of images, that it came from, relative to the
    videos root.
    """

    id: str
    case: str
    phase: str
    start_s: float
    end_s: float
    path: str
    first_frame: int
    n_frames: int
    fps: float
    width: int
    height: int
    method: str
    sha256: str
    source: str
    source_sha256: str


@dataclass(frozen=True, kw_only=True)
class Sample(Record):
    """What a model learns from: the turns of one conversation about one clip.

    ``origin`` is annotation, template or llm. ``objects`` are canonical names
    of what the record says is in sight.
    """

    id: str
    case: str
    clip: str
    phase: str
    turns: tuple[Turn, ...]
    objects: tuple[str, ...] = ()
    origin: str = "template"

    @classmethod
    def from_json(cls, row: dict[str, Any], *, where: object = None) -> Self:
        turns = tuple(Turn.from_json(t, where=where) for t in row.get("turns", ()))
        return super().from_json({**row, "turns": turns, "objects": tuple(row.get("objects", ()))}, where=where)


@dataclass(frozen=True, kw_only=True)
class Prediction(Record):
    """What a model said to one question.

    ``scores``: log-probability of each choice, where scored; ``normalisation``
    tells of them whether it is the sum over a choice's tokens or their mean,
    ``score_end`` whether the token that ends an answer is counted.
    ``truncated``: the answer had not ended within its budget of tokens.
    """

    id: str
    case: str
    clip: str
    turn: int
    kind: str
    phase: str
    question: str
    answer: str
    prediction: str
    scores: dict[str, float] = field(default_factory=dict)
    normalisation: str = ""
    score_end: bool = False
    truncated: bool = False


def shard_of(case: str, shards: int) -> int:
    """Returns the shard of a case: a stable hash, so a new case makes only its shard stale."""
    return int(hashlib.sha256(case.encode()).hexdigest()[:12], 16) % shards


def write(path: Path, records: Iterable[Record]) -> None:
    """Writes a manifest in the order given."""
    files.write_jsonl(path, (record.to_json() for record in records))


def read(path: Path, kind: type[Any]) -> list[Any]:
    """Reads a manifest of one record kind.

    Raises:
        InputError: naming the file and line that is not such a record.
    """
    rows = files.read_jsonl(path)
    return [kind.from_json(row, where=f"{path}, record {number}") for number, row in enumerate(rows, start=1)]


def check_unique(ids: Sequence[str], *, what: str, where: object) -> None:
    """Refuses repeated ids, naming the first of them."""
    seen: set[str] = set()
    for one in ids:
        if one in seen:
            raise InputError(f"{what} {one!r} occurs twice", where=where, fix="ids must be unique")
        seen.add(one)
