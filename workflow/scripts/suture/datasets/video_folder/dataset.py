"""Lists of videos become cases: one segment a video, whose class is the answer to its one question."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path

from suture import files
from suture.datasets.video_folder import layout
from suture.datasets.video_folder.layout import Line, Listed
from suture.errors import InputError
from suture.records import Case, Rejection, Segment, Turn

QUESTION = "Which class does this video show?"
KIND = "class"


_Stamps = tuple[tuple[Path, tuple[int, int] | None], ...]


def _stamps(paths: Iterable[Path]) -> _Stamps:
    """Tells files and folders from what they were: time of change and size."""
    found = []
    for path in paths:
        known = path.stat() if path.exists() else None
        found.append((path, (known.st_mtime_ns, known.st_size) if known else None))
    return tuple(found)


@dataclass(frozen=True, kw_only=True)
class _State:
    """What a root says: lines by case; name of the class by (dataset, label as written); labels, files by dataset."""

    cases: dict[str, tuple[Line, ...]]
    names: dict[tuple[str, str], str]
    labels: dict[str, tuple[str, ...]]
    files: dict[str, tuple[Path, ...]]


class VideoFolder:
    """An adapter (see :class:`suture.datasets.base.Adapter`) of one or several datasets.

    Args:
        labels: names of the classes in the order of their numbers, where no
            file in the folder names them.
    """

    def __init__(self, labels: tuple[str, ...] = ()) -> None:
        self.labels = labels
        self._known: dict[Path, tuple[_Stamps, _State]] = {}

    def case_ids(self, root: Path) -> list[str]:
        """Lists the cases, sorted: patients where they are known, else videos.

        Raises:
            InputError: as :func:`suture.datasets.video_folder.layout.read`; a video in two splits; two videos or
                patients that give cases of one name.
        """
        return sorted(self._state(root).cases)

    def case_files(self, root: Path, case: str) -> list[Path]:
        """Lists what a case is read from: the lists of its dataset; the folder's videos themselves have none."""
        names = {line.dataset for line in self._lines_of(root, case)}
        return sorted({path for name in names for path in self._state(root).files[name]})

    def case_media(self, root: Path, videos: Path, case: str) -> list[Path]:
        """Lists the case's videos, those that exist."""
        found = {files.inside(videos, line.media) for line in self._lines_of(root, case) if line.media}
        return sorted(path for path in found if path.is_file())

    def read_case(self, root: Path, case: str) -> Case:
        """Reads a case: each video is one whole segment.

        Rejections: missing_media, odd_line, missing_label, unknown_label, duplicate_row, conflicting_label.
        """
        segments: dict[str, Segment] = {}
        rejected = []
        for line in self._lines_of(root, case):
            problem = self._problem(root, line, segments.get(line.media))
            if problem is None:
                label = self._state(root).names[line.dataset, line.label]
                segments[line.media] = Segment(
                    label=label,
                    published=line.label,
                    media=line.media,
                    start_s=0.0,
                    end_s=None,
                    row=line.row,
                    whole=True,
                    turns=(Turn(question=QUESTION, answer=label, kind=KIND),),
                )
                continue
            reason, detail = problem
            rejected.append(
                Rejection(
                    stage="annotations", reason=reason, case=case, where=line.where, detail=f"{line.where}: {detail}"
                )
            )
        return Case(id=case, segments=tuple(segments[media] for media in sorted(segments)), rejected=tuple(rejected))

    def case_digest(self, root: Path, case: str) -> str:
        """Returns a digest of what the lists say of one case; row numbers count only where a rejection names them."""
        read = self.read_case(root, case)
        rows = [replace(segment, row=0) for segment in read.segments]
        return files.sha256_text(repr((rows, read.rejected)))

    def read_split(self, root: Path) -> dict[str, str]:
        """Returns the publisher's split of each case.

        Raises:
            InputError: a video has no split, or a patient's videos are in two.
        """
        split_of: dict[str, Line] = {}
        for case, lines in sorted(self._state(root).cases.items()):
            for line in lines:
                if not line.split:
                    raise InputError(
                        f"{line.media!r} is in no split", where=root, fix="leave out split.official: cases are dealt"
                    )
                first = split_of.setdefault(case, line)
                if first.split != line.split:
                    raise InputError(
                        f"patient {line.patient!r} has {first.media!r} in {first.split} and {line.media!r} in "
                        f"{line.split}: what is trained on would be scored",
                        where=f"{line.file}:{line.row}",
                        fix="move the patient to one split, or leave out split.official: patients are then dealt whole",
                    )
        return {case: line.split for case, line in split_of.items()}

    def _problem(self, root: Path, line: Line, before: Segment | None) -> tuple[str, str] | None:
        """Says what makes a line unusable: a code and the line a user reads."""
        if line.problem:
            return "odd_line", line.problem
        if not line.media:
            return "missing_media", "no path"
        if not line.label:
            return "missing_label", f"{line.media} has no label"
        label = self._state(root).names.get((line.dataset, line.label))
        if label is None:
            known = ", ".join(self._state(root).labels[line.dataset])
            return "unknown_label", f"{line.media} has label {line.label!r}; the classes are {known}"
        if before is not None and before.label == label:
            return "duplicate_row", f"{line.media} is listed in row {before.row} already"
        if before is not None:
            return "conflicting_label", f"{line.media} is {before.label!r} in row {before.row} and {label!r} here"
        return None

    def _lines_of(self, root: Path, case: str) -> tuple[Line, ...]:
        found = self._state(root).cases.get(case)
        if found is None:
            raise InputError(f"no video of case {case!r}", where=root)
        return found

    def _state(self, root: Path) -> _State:
        """Reads a root once for as long as its lists and folders are unchanged: every case asks for its lines."""
        known = self._known.get(root)
        if known is None or known[0] != _stamps(path for path, _ in known[0]):
            read = layout.read(root)
            watched = {root, *(path for one in read for path in (one.root, *one.files, *(x.file for x in one.lines)))}
            known = _stamps(sorted({*watched, *(path.parent for path in watched)})), self._read_anew(read)
            self._known[root] = known
        return known[1]

    def _read_anew(self, read: list[Listed]) -> _State:
        cases: dict[str, list[Line]] = {}
        owner: dict[str, tuple[str, str]] = {}
        for line in (line for one in read for line in _one_split_each(one.lines)):
            whose = (line.dataset, f"patient {line.patient}" if line.patient else line.media)
            case = _case_id(line)
            if owner.setdefault(case, whose) != whose:
                raise InputError(
                    f"{whose[1]} and {owner[case][1]} would both be case {case}",
                    where=f"{line.file}:{line.row}",
                    fix="tell them apart by letters or digits",
                )
            cases.setdefault(case, []).append(line)
        if not cases:
            raise InputError("no video is listed", where=", ".join(str(one.root) for one in read))
        labels = {one.name: one.labels or self.labels for one in read}
        names = {
            (one.name, written): name
            for one in read
            for written, name in _classes([line.label for line in one.lines], labels[one.name]).items()
        }
        return _State(
            cases={case: tuple(lines) for case, lines in cases.items()},
            names=names,
            labels=labels,
            files={one.name: one.files for one in read},
        )


def _one_split_each(lines: tuple[Line, ...]) -> Iterator[Line]:
    """Passes lines on; refuses a video that two splits list."""
    first: dict[str, Line] = {}
    for line in lines:
        before = first.setdefault(line.media, line) if line.media else line
        if before.split != line.split:
            raise InputError(
                f"{line.media!r} is in {before.split} ({before.where}) and in {line.split}",
                where=f"{line.file}:{line.row}",
                fix="leave it in one of them: what is trained on would be scored",
            )
        yield line


def _case_id(line: Line) -> str:
    """Names the case of a line: its patient, else its video; letters, digits, '.', '_' and '-'."""
    if line.patient:
        name = line.patient
    else:
        inner = line.media.removeprefix(f"{line.dataset}/") if line.dataset else line.media
        name = re.sub(r"\.[A-Za-z0-9]{1,5}$", "", inner.removeprefix("videos/")) or f"line_{line.row}"
    joined = f"{line.dataset}.{name}" if line.dataset else name
    return re.sub(r"[^A-Za-z0-9._-]+", "_", joined).strip("._-") or "case"


def _classes(written: list[str], labels: tuple[str, ...]) -> dict[str, str]:
    """Maps labels as they are written to names of classes, without regard to case.

    A number is the place of a name. Without names a label is its own, in the
    spelling that sorts first.
    """
    found: dict[str, str] = {}
    plain: dict[str, str] = {name.casefold(): name for name in labels}
    for label in sorted(set(filter(None, written))):
        if not labels:
            found[label] = plain.setdefault(label.casefold(), label)
        elif label.casefold() in plain:
            found[label] = plain[label.casefold()]
        elif label.isdecimal() and int(label) < len(labels):
            found[label] = labels[int(label)]
    return found
