"""Instruction data becomes cases: an image with the conversations about it."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from functools import lru_cache
from pathlib import Path, PurePosixPath
from typing import ClassVar, Self

from suture import delimited, files
from suture.dataset_options import replaced
from suture.datasets.conversations import rows
from suture.datasets.conversations.rows import Asked, Unusable
from suture.datasets.fetal_ultrasound import questions
from suture.errors import InputError
from suture.records import Case, Rejection, Segment, Turn

STAGE = "annotations"
OPTIONS: dict[str, tuple[str, ...]] = {
    "group": ("image", "prefix"),
    "names": ("plain", "file"),
    "kinds": ("one", "fada"),
}
_UNSAFE = re.compile(r"[^A-Za-z0-9._-]+")
_PREFIX = re.compile(r"[A-Za-z0-9]+")


@dataclass(frozen=True)
class _Read:
    """What a root holds: usable rows by case, and the rest."""

    cases: dict[str, list[tuple[Path, Asked]]] = field(default_factory=dict)
    left_out: list[Rejection] = field(default_factory=list)


@dataclass(frozen=True, kw_only=True)
class Conversations:
    """An adapter (see :class:`suture.datasets.base.Adapter`).

    Args:
        group: what a case is where rows name no patient: an ``image``, or what images share before the first ``-``
            or ``_`` of their names (``prefix``): a study in ``0001-0002.png``, an article in ``2583_Fig1.jpg``.
        names: ``file``: cases are named after their file too, ``alignment.2583``, so that experiments can choose.
        kinds: ``fada``: its eight questions are known by their titles, and each is scored by its own measure.
    """

    group: str = "image"
    names: str = "plain"
    kinds: str = "one"

    SHARING: ClassVar[str] = "internal"
    STILLS: ClassVar[bool] = True
    OBJECT_KINDS: ClassVar[dict[str, str]] = {}
    REFERENCES: ClassVar[tuple[str, ...]] = ()

    def with_options(self, options: Mapping[str, str]) -> Self:
        """Returns this adapter with other options.

        Raises:
            ConfigError: an option or a value that is not known.
        """
        return replaced(self, options, OPTIONS)

    def case_ids(self, root: Path) -> list[str]:
        """Lists the cases, sorted.

        Raises:
            InputError: no .json or .jsonl file under the root.
        """
        return sorted(self._read(root).cases)

    def case_files(self, root: Path, case: str) -> list[Path]:
        """Lists the files that have rows of a case."""
        return sorted({path for path, _ in self._rows_of(root, case)})

    def case_media(self, root: Path, videos: Path, case: str) -> list[Path]:
        """Lists the case's images, those that exist."""
        named = {name for _, one in self._rows_of(root, case) for name in (one.image, *one.beside)}
        found = (files.inside(videos, name) for name in sorted(named))
        return [path for path in found if path.is_file()]

    def read_case(self, root: Path, case: str) -> Case:
        """Reads a case's rows: each image is one segment with the turns of all rows about it.

        Rejections: duplicate_row (another row says the same of this image), conflicting_answer (it answers a
        question otherwise).
        """
        segments: dict[tuple[str, ...], Segment] = {}
        rejected: list[Rejection] = []
        for path, one in self._rows_of(root, case):
            key = (one.image, *one.beside)
            before = segments.get(key)
            known = {turn.question: turn for turn in before.turns} if before else {}
            new = [turn for turn in one.turns if turn.question not in known]
            other = [turn for turn in one.turns if turn != known.get(turn.question, turn)]
            if other or not new:
                reason = "conflicting_answer" if other else "duplicate_row"
                detail = "answers a question that a row before it answers otherwise" if other else "says nothing new"
                rejected.append(_left_out(path, one.index, reason, detail, case))
            if new:
                turns = (*(before.turns if before else ()), *new)
                segments[key] = Segment(
                    label=one.label or (before.label if before else "image"),
                    published="",
                    media=one.image,
                    beside=one.beside,
                    start_s=0.0,
                    end_s=None,
                    row=before.row if before else one.index,
                    annotation=path.name,
                    whole=True,
                    turns=turns,
                )
        return Case(id=case, segments=tuple(segments[key] for key in sorted(segments)), rejected=tuple(rejected))

    def case_digest(self, root: Path, case: str) -> str:
        """Returns a digest of one case's rows: all cases share the files."""
        read = self.read_case(root, case)
        return files.sha256_text(repr(([replace(segment, row=0) for segment in read.segments], read.rejected)))

    def general(self, root: Path, videos: Path | None) -> list[Rejection]:
        """Reports the rows that belong to no case: corrupt_row, no_image, path_outside, each with its index from 0."""
        del videos
        return list(self._read(root).left_out)

    def _rows_of(self, root: Path, case: str) -> list[tuple[Path, Asked]]:
        cases = self._read(root).cases
        if case not in cases:
            raise InputError(f"no row of case {case!r}{delimited.nearest(case, sorted(cases))}", where=root)
        return cases[case]

    def _read(self, root: Path) -> _Read:
        paths = [root] if root.is_file() else sorted(p for p in root.glob("*.json*") if p.suffix in (".json", ".jsonl"))
        if not paths:
            raise InputError("no .json or .jsonl file", where=root, fix="give a file of conversations, or their folder")
        stats = [path.stat() for path in paths]
        return _read(
            tuple(map(str, paths)),
            tuple((s.st_mtime_ns, s.st_size) for s in stats),
            self.group,
            self.names == "file",
            self.kinds == "fada",
        )


@lru_cache(maxsize=4)
def _read(
    paths: tuple[str, ...], changed: tuple[tuple[int, int], ...], group: str, by_file: bool, fetal: bool
) -> _Read:
    del changed  # it is there so that a changed file is read again
    found = _Read()
    named: dict[str, str] = {}
    for path in map(Path, paths):
        for one in rows.read(path):
            if isinstance(one, Unusable):
                found.left_out.append(_left_out(path, one.index, one.reason, one.detail, _stem(one.image)))
            elif any(map(_leads_out, (one.image, *one.beside))):
                found.left_out.append(
                    _left_out(path, one.index, "path_outside", "an image that leads out of the images' root", "")
                )
            else:
                case = _case(one, group, named)
                known = replace(one, turns=tuple(map(_of_fada, one.turns))) if fetal else one
                found.cases.setdefault(f"{path.stem}.{case}" if by_file else case, []).append((path, known))
    return found


def _case(one: Asked, group: str, named: dict[str, str]) -> str:
    """Names a row's case; two that would get one name are told apart."""
    prefix = _PREFIX.match(_stem(one.image))
    whose = one.owner or (prefix[0] if group == "prefix" and prefix else os.path.splitext(one.image)[0])  # noqa: PTH122
    name = _UNSAFE.sub("_", whose).strip("._-") or "case"
    if named.setdefault(name.casefold(), whose) != whose:
        name = f"{name}_{files.sha256_text(whose)[:8]}"
        named[name.casefold()] = whose
    return name


def _of_fada(turn: Turn) -> Turn:
    return replace(turn, kind=questions.kind_of(turn.question) or turn.kind)


def _stem(image: str) -> str:
    return PurePosixPath(image.replace("\\", "/")).stem


def _leads_out(image: str) -> bool:
    normal = os.path.normpath(image.replace("\\", "/"))
    return normal.startswith(("/", "..")) or (len(normal) > 1 and normal[1] == ":")


def _left_out(path: Path, index: int, reason: str, detail: str, case: str) -> Rejection:
    where = f"{path.name}, row {index}"
    return Rejection(stage=STAGE, reason=reason, case=case, where=where, detail=f"{where}: {detail}")
