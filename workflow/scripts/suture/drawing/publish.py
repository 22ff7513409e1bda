"""Writes a drawn case's annotations in the files of Cataract-1K, as published."""

from __future__ import annotations

import json
import re
from pathlib import Path

from suture import files
from suture.drawing import polygons
from suture.drawing.film import Film, Seen
from suture.drawing.plan import WINDOW_S, Plan
from suture.errors import InputError

PHASES_HEADER = "caseId,comment,frame,endFrame,sec,endSec"
VIDEO_HEADER = "caseId,physician,done,date,fps"

# The table of most of the published files, ids included.
CATEGORIES = (
    "Lens",
    "Phacoemulsification Tip",
    "Pupil",
    "Cornea",
    "Slit Knife",
    "Gauge",
    "Lens Injector",
    "Incision Knife",
    "Katena Forceps",
    "Capsulorhexis Forceps",
    "cornea1",
    "pupil1",
    "Capsulorhexis Cystotome",
    "Spatula",
    "Irrigation-Aspiration",
)
_DATE = "2026-01-01T00:00:00.000Z"


def number_of(case: str) -> str:
    """Returns the digits of a case id: ``case_9001`` is ``9001`` in the files.

    Raises:
        InputError: it is no such id.
    """
    match = re.fullmatch(r"case_(\d+)", case)
    if not match:
        raise InputError(f"{case!r} is no case id of Cataract-1K", fix="name it case_ and digits, such as case_9001")
    return match[1]


def write_phases(path: Path, plan: Plan, fps: int) -> None:
    """Writes the phase CSV: a row for each span, in frames and in seconds."""
    number = number_of(plan.case)
    rows = [PHASES_HEADER]
    for span in plan.spans:
        frame, end_frame = round(span.start_s * fps), round(span.end_s * fps)
        rows.append(f"{number},{span.act.published},{frame},{end_frame},{span.start_s:g},{span.end_s:g}")
    files.write_text(path, "\n".join(rows) + "\n")


def write_video_info(path: Path, case: str, fps: int) -> None:
    """Writes the video CSV: one row with the frame rate."""
    files.write_text(path, f'{VIDEO_HEADER}\n{number_of(case)},drawn,0,"2026-01-01 00:00:00",{fps:.3f}\n')


def write_objects(path: Path, film: Film) -> None:
    """Writes the COCO file: an image each 5 s, with all that is in sight in it.

    Image ``k`` is at ``max(0, k - 2) * 5`` s, as published; there is no image 2,
    which would be at 0 s once more.
    """
    number = number_of(film.plan.case)
    images: list[dict[str, object]] = []
    annotations: list[dict[str, object]] = []
    for instant in film.instants():
        k = instant + 2 if instant else 1
        image_id = int(number) * 1000 + k
        images.append(
            {
                "license": "None",
                "file_name": f"case{number}_{k:02d}.png",
                "url": "None",
                "height": film.size[1],
                "width": film.size[0],
                "date_captured": _DATE,
                "id": image_id,
            }
        )
        for seen in film.annotation(instant * WINDOW_S):
            annotations.append(_annotation(seen, image_id, len(annotations) + 1))
    files.write_text(path, json.dumps(coco(images, annotations)))


def coco(images: list[dict[str, object]], annotations: list[dict[str, object]]) -> dict[str, object]:
    """Returns a COCO file's content with the published licences and table of categories."""
    return {
        "info": {
            "description": "",
            "url": "None",
            "version": "1.0",
            "year": 2026,
            "contributor": "drawn by Suture",
            "date_created": _DATE,
        },
        "licenses": [{"url": "None", "id": 0, "name": "None"}],
        "images": images,
        "annotations": annotations,
        "categories": [{"supercategory": name, "id": k, "name": name} for k, name in enumerate(CATEGORIES, start=1)],
    }


def _annotation(seen: Seen, image_id: int, number: int) -> dict[str, object]:
    outline = seen.outline.round(1)
    return {
        "segmentation": [outline.ravel().tolist()],
        "area": round(polygons.area(outline), 2),
        "iscrowd": 0,
        "image_id": image_id,
        "bbox": [round(value, 1) for value in polygons.bbox(outline)],
        "category_id": CATEGORIES.index(seen.name) + 1,
        "id": number,
    }
