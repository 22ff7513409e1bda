"""Writes drawn ultrasound in FADA's files: both spreadsheet layouts, and some of what is wrong in the published ones.

Every second category has a sheet of its own, the others share the merged one.
The first is misspelt as the publisher's Abdomen is; one row stands twice, one
answer is missing, and the images of one more category await their labels.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from PIL import Image

from suture import spreadsheets
from suture.datasets.fetal_ultrasound.questions import STANDARD
from suture.drawing import scans, ultrasound
from suture.errors import InputError
from suture.progress import progress

MISSPELT = {"Abdomen": "Abodomen"}
UNLABELLED, UNLABELLED_IMAGES = "Cervix", 3
MERGED = "Fetal Ultrasound Annotations.xlsx"

_CATEGORY_HEADER = ["Image Name", *(f"Q{one.number}\n{one.text}" for one in STANDARD)]
_MERGED_HEADER = [
    "Timestamp",
    "Folder Name",
    "Image Name",
    *(f"Q{one.number}: {one.titles[-1]}" for one in STANDARD),
    "Additional Notes",
    "Annotator",
    "Status",
]


def write(annotations: Path, pictures: Path, categories: Sequence[str], *, images: int, seed: int, size: int) -> None:
    """Draws all images and writes their sheets.

    Args:
        annotations: an existing folder for the spreadsheets.
        pictures: an existing folder; each category gets a folder in it.
        categories: names among :data:`suture.drawing.scans.PARTS`.
        images: of each category.
        seed: of facts and pixels.
        size: width and height in pixels.

    Raises:
        InputError: a category that cannot be drawn.
    """
    unknown = sorted(set(categories) - set(scans.PARTS))
    if unknown:
        raise InputError(f"cannot draw {unknown[0]!r}", fix=f"one of {', '.join(sorted(scans.PARTS))}")
    merged: list[list[str]] = []
    for place, category in enumerate(progress(categories, what="drawing", unit="category")):
        spelt = MISSPELT.get(category, category)
        rows = []
        for number in range(1, images + 1):
            scan = scans.plan(category, number, seed)
            name = f"{spelt}_{number:03d}.png"
            _save(pictures / spelt / name, scan, number, seed, size)
            rows.append([name, *scan.answers])
        rows[-1][4] = rows[-1][4] if place else ""  # an answer that is missing
        if place % 2:
            merged += [["2025-09-01 10:00:00", category, *row, "", "drawn", "done"] for row in [*rows, rows[0]]]
        else:
            spreadsheets.write(annotations / f"{spelt}_image_list.xlsx", _CATEGORY_HEADER, rows)
    if merged:
        spreadsheets.write(annotations / MERGED, _MERGED_HEADER, merged, title="Annotations")
    for number in range(1, UNLABELLED_IMAGES + 1):
        scan = scans.plan(categories[0], number, seed + 1)
        _save(pictures / UNLABELLED / f"{UNLABELLED}_{number:03d}.png", scan, number, seed + 1, size)


def _save(path: Path, scan: scans.Scan, number: int, seed: int, size: int) -> None:
    path.parent.mkdir(exist_ok=True)
    Image.fromarray(ultrasound.draw(scan, number, seed, size)).save(path)
