"""MIMIC-CXR's tables, and MGCA's: which images there are, of whom, from where seen, in which split, its report."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

from suture import delimited, files
from suture.datasets.mimic_cxr import sections as section
from suture.errors import InputError

METADATA, SPLIT, SECTIONED = "mimic-cxr-2.0.0-metadata.csv", "mimic-cxr-2.0.0-split.csv", "mimic_cxr_sectioned.csv"
SPLITS = {"train": "train", "validate": "val", "valid": "val", "val": "val", "test": "test"}

_IMAGES = {
    "dicom_id": ("image_id", "image"),
    "subject_id": ("subject", "patient", "patient_id"),
    "study_id": ("study",),
    "ViewPosition": ("view",),
}
_DIVIDED = {"subject_id": ("subject",), "study_id": ("study",), "dicom_id": (), "split": ()}
_TEXTS = {"study": ("study_id",), "impression": (), "findings": (), "last_paragraph": (), "comparison": ()}


@dataclass(frozen=True, kw_only=True)
class Image:
    """One row of the metadata. ``view`` is in capitals, '' where none is told; ids are without ``p`` and ``s``."""

    dicom: str
    subject: str
    study: str
    view: str
    row: int

    @property
    def case(self) -> str:
        """The patient, as MIMIC names folders."""
        return f"p{self.subject}"

    @property
    def media(self) -> str:
        """A name that is unique: that of the flat layout, ``{study_id}-{image_id}``; MIMIC's tree has its end."""
        return f"{self.dicom if self.dicom.startswith(f'{self.study}-') else f'{self.study}-{self.dicom}'}.jpg"


def images(root: Path) -> dict[str, tuple[Image, ...]]:
    """Reads the metadata: images by case, in the file's order.

    Raises:
        InputError: no metadata, a column is missing, or a row without ids.
    """
    path = table(root, METADATA, "metadata")
    assert path is not None
    return _images(path, *_stamp(path))


@lru_cache(maxsize=4)
def _images(path: Path, changed: int, size: int) -> dict[str, tuple[Image, ...]]:
    del changed, size  # they are there so that a changed file is read again
    by_case: dict[str, list[Image]] = {}
    for row in delimited.read(path, _IMAGES, required=list(_IMAGES)).rows:
        ids = [row.cells[name].removesuffix(".0") for name in ("dicom_id", "subject_id", "study_id")]
        if not all(ids):
            raise InputError(
                "an image without dicom_id, subject_id or study_id", where=f"{path}:{row.line}", fix="take the row out"
            )
        one = Image(
            dicom=ids[0],
            subject=ids[1].removeprefix("p"),
            study=ids[2].removeprefix("s"),
            view=row.cells["ViewPosition"].upper(),
            row=row.line,
        )
        by_case.setdefault(one.case, []).append(one)
    return {case: tuple(found) for case, found in by_case.items()}


def split_of(root: Path) -> dict[str, str]:
    """Reads the official split by case; ``validate`` is val.

    Raises:
        InputError: there is none, another name of a split, or a patient in two splits.
    """
    path = table(root, SPLIT, "split")
    assert path is not None
    found: dict[str, str] = {}
    for row in delimited.read(path, _DIVIDED, required=["subject_id", "split"]).rows:
        where, case = f"{path}:{row.line}", f"p{row.cells['subject_id'].removesuffix('.0').removeprefix('p')}"
        split = SPLITS.get(row.cells["split"].lower())
        if split is None:
            raise InputError(
                f"split {row.cells['split']!r} is not known", where=where, fix="train, validate (or val) or test"
            )
        if found.setdefault(case, split) != split:
            raise InputError(
                f"patient {case} is in {found[case]} and in {split}: what is trained on would be scored",
                where=where,
                fix="put all rows of the patient into one split, or leave out split.official",
            )
    return found


def report_file(root: Path, image: Image) -> Path | None:
    """Finds the report of a study: MIMIC's tree, with or without ``files/``, or a flat folder ``reports/``."""
    name = f"s{image.study}.txt"
    inner = f"{image.case[:3]}/{image.case}/{name}"
    places = (f"files/{inner}", inner, f"reports/{name}", f"reports/{image.study}.txt", name)
    return next((path for path in (root / place for place in places) if path.is_file()), None)


def report(root: Path, image: Image) -> dict[str, str] | None:
    """Returns the sections of a study's report; None where it has no report."""
    sectioned = table(root, SECTIONED, "sectioned", needed=False)
    if sectioned is not None:
        return _texts(sectioned, *_stamp(sectioned)).get(image.study)
    path = report_file(root, image)
    return None if path is None else section.sections(files.read_text(path))


@lru_cache(maxsize=4)
def _texts(path: Path, changed: int, size: int) -> dict[str, dict[str, str]]:
    del changed, size
    found: dict[str, dict[str, str]] = {}
    for row in delimited.read(path, _TEXTS, required=["study"]).rows:
        study = row.cells["study"].removesuffix(".0").removeprefix("s")
        if study in found:
            raise InputError(f"study {study} is there twice", where=f"{path}:{row.line}", fix="keep one of the rows")
        # pandas writes NaN where a report has no such section.
        found[study] = {name: text for name, text in row.cells.items() if name != "study" and text.lower() != "nan"}
    return found


def table(root: Path, name: str, what: str, *, needed: bool = True) -> Path | None:
    """Finds a table: by its published name, else the one CSV whose name says what it is.

    Raises:
        InputError: there are several, only a packed one, or none where one is ``needed``.
    """
    return _table(root, name, what, needed, root.stat().st_mtime_ns if root.is_dir() else 0)


@lru_cache(maxsize=16)
def _table(root: Path, name: str, what: str, needed: bool, changed: int) -> Path | None:
    del changed
    if (root / name).is_file():
        return root / name
    there = sorted(path.name for path in root.iterdir()) if root.is_dir() else []
    found = [root / one for one in there if what in one.lower() and one.lower().endswith((".csv", ".tsv"))]
    if len(found) == 1:
        return found[0]
    packed = next((one for one in there if what in one.lower() and one.lower().endswith(".csv.gz")), None)
    if len(found) > 1:
        raise InputError(f"{len(found)} tables could be the {what}", where=root, fix=f"name the right one {name}")
    if packed or needed:
        raise InputError(
            f"the {what} table is packed" if packed else f"no {what} table",
            where=root / packed if packed else root,
            fix=f"gunzip {packed}" if packed else f"put {name} there",
        )
    return None


def _stamp(path: Path) -> tuple[int, int]:
    found = path.stat()
    return found.st_mtime_ns, found.st_size
