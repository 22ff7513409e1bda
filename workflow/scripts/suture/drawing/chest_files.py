"""Writes drawn chests in MIMIC-CXR's files: metadata, official split, report files and the tree of images."""

from __future__ import annotations

import csv
from collections.abc import Sequence
from pathlib import Path

from PIL import Image

from suture.datasets.mimic_cxr.tables import METADATA, SPLIT
from suture.drawing import chests, radiograph
from suture.drawing.chests import Chest
from suture.files import sha256_text
from suture.progress import progress

_COLUMNS = (
    "dicom_id",
    "subject_id",
    "study_id",
    "PerformedProcedureStepDescription",
    "ViewPosition",
    "Rows",
    "Columns",
)
_UNWRITTEN, _WITHOUT_SECTIONS = 7, 11
"""Of so many patients the first study of one has no report, or one without findings and impression."""


def write(annotations: Path, pictures: Path, *, images: int, seed: int, size: int) -> int:
    """Draws the studies of ``images`` patients.

    Args:
        annotations: an existing folder for tables and reports.
        pictures: an existing folder for the images.
        images: patients.
        seed: of findings and pixels.
        size: width and height in pixels.

    Returns:
        How many images were drawn.
    """
    rows: list[list[object]] = []
    split: list[list[str]] = []
    for number, case in enumerate(progress(chests.case_ids(images), what="drawing", unit="patient"), start=1):
        part = _split_of(number)
        for place, study in enumerate(chests.studies(number, seed)):
            folder = f"files/{case[:3]}/{case}/s{study.id}"
            if place or number % _UNWRITTEN:
                path = annotations / f"{folder}.txt"
                path.parent.mkdir(parents=True, exist_ok=True)
                path.write_text(_report(study.chest, bare=not place and not number % _WITHOUT_SECTIONS))
            for view in study.views:
                dicom = sha256_text(f"{study.id}/{view}")[:16]
                target = pictures / folder / f"{dicom}.png"
                target.parent.mkdir(parents=True, exist_ok=True)
                drawn = radiograph.draw(study.chest, dicom, case, seed, size, lateral=view == "LATERAL")
                Image.fromarray(drawn).save(target)
                rows.append([dicom, case[1:], study.id, "CHEST", view, size, size])
                split.append([dicom, study.id, case[1:], part])
    _table(annotations / METADATA, [list(_COLUMNS), *rows])
    _table(annotations / SPLIT, [["dicom_id", "study_id", "subject_id", "split"], *split])
    return len(rows)


def _split_of(number: int) -> str:
    return {0: "test", 4: "test", 9: "validate"}.get(number % 10, "train")


def _report(chest: Chest, *, bare: bool) -> str:
    head = "                                 FINAL REPORT\n EXAMINATION:  CHEST RADIOGRAPH\n"
    if bare:
        return f"{head} \n TECHNIQUE:  Drawn.\n"
    return f"{head} \n FINDINGS: \n \n {chest.findings}\n \n IMPRESSION: \n \n {chest.impression}\n"


def _table(path: Path, rows: Sequence[Sequence[object]]) -> None:
    with path.open("w", newline="", encoding="utf-8") as out:
        csv.writer(out, lineterminator="\n").writerows(rows)
