"""FADA's fetal ultrasound: images in one folder a category, eight answers to each in spreadsheets.

Both of the publisher's layouts are read (see :mod:`.sheets`), wherever the
sheets lie under the root. A case is a patient where a column names one, else
an image: the published data has no patients. The category is the label.
"""

from __future__ import annotations

from functools import lru_cache
from pathlib import Path, PurePosixPath

from suture import delimited, files, spreadsheets
from suture.datasets.fetal_ultrasound import categories, images, sheets
from suture.datasets.fetal_ultrasound.sheets import STAGE, Row, Sheets
from suture.datasets.fetal_ultrasound.splits import read_split
from suture.datasets.fetal_ultrasound.structures import STRUCTURES
from suture.errors import InputError
from suture.records import Case, Rejection, Segment

__all__ = [
    "OBJECT_KINDS",
    "REFERENCES",
    "SHARING",
    "STILLS",
    "SYNONYMS",
    "case_digest",
    "case_files",
    "case_ids",
    "case_media",
    "general",
    "label_questions",
    "read_case",
    "read_split",
]

SHARING = "internal"
STILLS = True
OBJECT_KINDS = dict.fromkeys(STRUCTURES, "anatomy")
SYNONYMS = STRUCTURES
REFERENCES: tuple[str, ...] = ()


def case_ids(root: Path) -> list[str]:
    """Lists the cases that have at least one answer, sorted.

    Raises:
        InputError: no sheet with the publisher's header, or a spreadsheet that cannot be read.
    """
    return sorted(case for case, rows in _by_case(root).items() if any(row.turns for row in rows))


def case_files(root: Path, case: str) -> list[Path]:
    """Lists the spreadsheets that have rows of a case."""
    return sorted({row.file for row in _rows_of(root, case)})


def case_media(root: Path, videos: Path, case: str) -> list[Path]:
    """Lists the images that the case's rows name, those that exist, sorted."""
    others = _categories(root)
    found = {images.find(videos, row.category, row.image, others) for row in _rows_of(root, case)}
    return sorted(path for path in found if path is not None)


def label_questions(root: Path) -> dict[str, dict[str, int]]:
    """Counts the answered questions of each case by category; the category with the fewest cases first."""
    counts: dict[str, dict[str, int]] = {}
    for case in case_ids(root):
        for segment in read_case(root, case).segments:
            of_case = counts.setdefault(segment.label, {})
            of_case[case] = of_case.get(case, 0) + len(segment.turns)
    return {name: counts[name] for name in sorted(counts, key=lambda one: (len(counts[one]), one))}


def read_case(root: Path, case: str) -> Case:
    """Reads the rows of one case: each image is one segment with its questions.

    Rejections: empty_answer, answer_is_a_date, and duplicate_image (the first
    row of an image counts).

    Raises:
        InputError: as :func:`case_ids`, or no row of this case.
    """
    segments: dict[tuple[str, str], tuple[Segment, Row]] = {}
    rejected: list[Rejection] = []
    for row in _rows_of(root, case):
        key = row.category, PurePosixPath(row.image).stem.casefold()
        if key in segments:
            first = segments[key][1]
            answers = "the same answers as" if first.turns == row.turns else "other answers than"
            detail = f"{row.where}: {row.folder}/{row.image} again, with {answers} at {first.where}"
            rejected.append(Rejection(stage=STAGE, reason="duplicate_image", case=case, where=row.where, detail=detail))
        elif row.turns:
            rejected += row.rejected
            media = row.image if "/" in row.image else f"{row.folder}/{row.image}"
            segment = Segment(
                label=row.category,
                published="",  # the case's name says the category already
                media=media,
                start_s=0.0,
                end_s=None,
                row=row.number,
                annotation=f"{row.file.name}, sheet {row.sheet}",
                whole=True,
                turns=row.turns,
            )
            segments[key] = segment, row
    return Case(id=case, segments=tuple(one for one, _ in segments.values()), rejected=tuple(rejected))


def case_digest(root: Path, case: str) -> str:
    """Returns a digest of one case's rows: all cases share the spreadsheets."""
    return files.sha256_text(
        repr([(row.category, row.folder, row.image, row.turns, row.rejected) for row in _rows_of(root, case)])
    )


def general(root: Path, videos: Path | None) -> list[Rejection]:
    """Reports what belongs to no case: misspelt categories, rows without an image, categories awaiting labels.

    Args:
        root: of the spreadsheets.
        videos: root of the images; None: they are not looked at.
    """
    rejected = list(_read(root).rejected)
    if videos is None:
        return rejected
    labelled = {categories.case_id(row.category, row.image) for row in _read(root).rows if row.turns}
    of_category: dict[str, list[str]] = {}
    for name, there in images.folders(videos).items():
        category = categories.canonical(name)
        if category in categories.CATEGORIES or category in _categories(root):
            of_category.setdefault(category, []).extend(categories.case_id(category, image) for image in there)
    for category, cases in sorted(of_category.items()):
        without = sorted(set(cases) - labelled)
        if without:
            detail = f"{len(without)} of {len(set(cases))} images of {category} await labels, from {without[0]} on"
            rejected.append(
                Rejection(stage=STAGE, reason="awaiting_labels", case=category, where=category, detail=detail)
            )
    return rejected


def _rows_of(root: Path, case: str) -> list[Row]:
    by_case = _by_case(root)
    if case not in by_case:
        raise InputError(f"no row of case {case!r}{delimited.nearest(case, sorted(by_case))}", where=root)
    return by_case[case]


def _by_case(root: Path) -> dict[str, list[Row]]:
    return _grouped(_key(root))


def _categories(root: Path) -> tuple[str, ...]:
    return _named(_key(root))


def _read(root: Path) -> Sheets:
    return _sheets(_key(root))


_Key = tuple[str, tuple[tuple[str, int, int], ...]]


def _key(root: Path) -> _Key:
    """Returns what the sheets' content is a function of: they are read again where a file changes."""
    return _stamp(str(root)) if root.is_dir() else (str(root), _stats([root]))


@lru_cache(maxsize=4)
def _stamp(root: str) -> _Key:
    # The folder is looked through once a process: thousands of cases ask.
    return root, _stats(spreadsheets.find(Path(root)))


def _stats(paths: list[Path]) -> tuple[tuple[str, int, int], ...]:
    return tuple((str(path), path.stat().st_mtime_ns, path.stat().st_size) for path in paths)


@lru_cache(maxsize=4)
def _sheets(key: _Key) -> Sheets:
    return sheets.read(Path(key[0]))


@lru_cache(maxsize=4)
def _grouped(key: _Key) -> dict[str, list[Row]]:
    by_case: dict[str, list[Row]] = {}
    for row in _sheets(key).rows:
        by_case.setdefault(row.case, []).append(row)
    return by_case


@lru_cache(maxsize=4)
def _named(key: _Key) -> tuple[str, ...]:
    return tuple(sorted({*categories.CATEGORIES, *(row.category for row in _sheets(key).rows)}))
