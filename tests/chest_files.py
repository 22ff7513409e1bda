"""Small chest data in MIMIC-CXR's file formats; every word of it is invented."""

from __future__ import annotations

from pathlib import Path

from PIL import Image

METADATA = "dicom_id,subject_id,study_id,PerformedProcedureStepDescription,ViewPosition,Rows,Columns"

REPORT = """                                 FINAL REPORT
 EXAMINATION:  CHEST (PA AND LAT)

 INDICATION:  Drawn person with a drawn cough.

 FINDINGS:

 1. The heart is large.  2. A nodule of 2.5 cm is in the left
 lung, unchanged.

 IMPRESSION:

 Large heart.  Nodule!
"""


def write(root: Path, rows: list[str], reports: dict[str, str], *, split: str = "") -> Path:
    """Writes metadata, report files in MIMIC's tree and, where given, the official split."""
    root.mkdir(parents=True, exist_ok=True)
    (root / "mimic-cxr-2.0.0-metadata.csv").write_text("\n".join([METADATA, *rows]) + "\n")
    for place, text in reports.items():
        path = root / "files" / place
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    if split:
        (root / "mimic-cxr-2.0.0-split.csv").write_text("dicom_id,study_id,subject_id,split\n" + split)
    return root


def picture(path: Path, *, grey: int = 90, size: tuple[int, int] = (40, 32)) -> Path:
    """Writes a small grey image."""
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.new("L", size, grey).save(path)
    return path
