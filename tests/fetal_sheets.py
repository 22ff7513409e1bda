"""FADA's two spreadsheet layouts in small, with the headers and the blemishes of the published files."""

from __future__ import annotations

import zipfile
from collections.abc import Sequence
from pathlib import Path

from PIL import Image

from suture import spreadsheets
from suture.datasets.fetal_ultrasound.questions import STANDARD

MERGED_HEADER = [
    "Timestamp",
    "Folder Name",
    "Image Name",
    "Q1: Anatomical Structures",
    "Q2: Fetal Orientation",
    "Q3: Imaging Plane",
    "Q4: Biometric Measurements",
    "Q5: Gestational Age",
    "Q6: Image Quality",
    "Q7: Normality Assessment",
    "Q8: Clinical Recommendations",
    "Additional Notes",
    "Annotator",
    "Status",
]
CATEGORY_HEADER = ["No", " Image Name ", *(f"Q{one.number}\n{one.text}" for one in STANDARD), "Remarks"]
ANSWERS = [
    "liver, stomach, spine",
    "Cephalic presentation",
    "Transverse trans-abdominal plane",
    "AC",
    "20-25 weeks",
    "Good image quality",
    "Normal",
    "Prenatal routine monitoring",
]


def merged(path: Path, rows: Sequence[tuple[str, str, Sequence[str]]]) -> None:
    """Writes the merged layout: (folder, image, eight answers) each."""
    lines = [["2025-09-01 10:00", folder, image, *answers, "", "dr", "in review"] for folder, image, answers in rows]
    spreadsheets.write(path, MERGED_HEADER, lines)


def by_category(path: Path, rows: Sequence[tuple[str, Sequence[str]]]) -> None:
    """Writes one category's sheet: (image, eight answers) each."""
    lines = [[str(number), image, *answers, ""] for number, (image, answers) in enumerate(rows, start=1)]
    spreadsheets.write(path, CATEGORY_HEADER, lines)


def images(folder: Path, names: Sequence[str]) -> None:
    """Writes small grey images, each another grey."""
    folder.mkdir(parents=True, exist_ok=True)
    for number, name in enumerate(names):
        Image.new("L", (40, 32), 20 + number).save(folder / name)


def opendocument(path: Path, rows: Sequence[Sequence[str]]) -> None:
    """Writes an .ods table; a cell ``date:2025-08-13`` is a date, as a spreadsheet program makes of 8-13."""
    lines = "".join(f"<table:table-row>{''.join(map(_ods, row))}</table:table-row>" for row in rows)
    names = " ".join(
        f'xmlns:{name}="urn:oasis:names:tc:opendocument:xmlns:{name}:1.0"' for name in ("office", "table", "text")
    )
    content = (
        f"<office:document-content {names}><office:body><office:spreadsheet>"
        f'<table:table table:name="Cervix">{lines}</table:table>'
        "</office:spreadsheet></office:body></office:document-content>"
    )
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("mimetype", "application/vnd.oasis.opendocument.spreadsheet")
        archive.writestr("META-INF/manifest.xml", "<manifest/>")
        archive.writestr("content.xml", content)


def _ods(cell: str) -> str:
    if cell.startswith("date:"):
        return f'<table:table-cell office:value-type="date" office:date-value="{cell[5:]}"/>'
    return f'<table:table-cell office:value-type="string"><text:p>{cell}</text:p></table:table-cell>'
