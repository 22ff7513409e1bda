"""case_objects.json: which objects were annotated when, in which phase and in which clip.

Two layouts: Suture's own (:func:`describe`) and the published one
(:func:`describe_published`; umurkarakas/surgery-sft, data_utils/object_generation.py).
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any

from suture import delimited, records, windows
from suture.errors import InputError
from suture.records import Case, Clip, Scene, Segment

UNKNOWN_PHASE = "unknown"
_CSV_COLUMNS = {"case": (), "file": (), "start_s": (), "duration_s": ()}


@dataclass(frozen=True, order=True)
class Stretch:
    """What this step needs of a clip: where it lies, and its name without a suffix."""

    case: str
    start_s: float
    end_s: float
    name: str


def read_clips(path: Path) -> list[Stretch]:
    """Reads clips from a manifest (``.jsonl``) or from a list made by ``cut_videos.py`` (``.csv``).

    Raises:
        InputError: another format, or a row that is no clip.
    """
    if path.suffix == ".jsonl":
        return [Stretch(one.case, one.start_s, one.end_s, one.id) for one in records.read(path, Clip)]
    if path.suffix != ".csv":
        raise InputError(f"clips file of unknown kind {path.suffix!r}", where=path, fix="give a .jsonl or a .csv file")
    found = []
    for row in delimited.read(path, _CSV_COLUMNS, required=list(_CSV_COLUMNS)).rows:
        start_s, length = delimited.number(row.cells["start_s"]), row.cells["duration_s"]
        # The duration of a whole file is empty: cut_videos.py --plan-only opens none.
        length_s = delimited.number(length) if length else math.inf
        if not (start_s >= 0 and length_s >= 0):
            raise InputError("start_s and duration_s are not times", where=f"{path}:{row.line}")
        name = windows.without_suffix(PurePosixPath(row.cells["file"]).name)
        # 17.401 + 5.099 is 22.500000000000004 or so: the list is exact to the millisecond.
        found.append(Stretch(row.cells["case"], start_s, round(start_s + length_s, 6), name))
    return found


def planned(case: Case, *, mode: str) -> list[Stretch]:
    """Returns the clips that cutting would make of a case, without opening its video."""
    clips, _ = windows.plan_case(case, mode=mode)
    return [Stretch(case.id, one.start_s, math.inf if one.end_s is None else one.end_s, one.id) for one in clips]


def describe(case: Case, clips: Iterable[Stretch]) -> dict[str, Any]:
    """Describes the annotated frames of a case: {second: phase, objects, clip, image}.

    A frame at time t belongs to the phase, and to the clip, with start <= t <
    end; the first of several. Its phase is ``idle`` between phases, ``unknown``
    in a case without annotated phases; its clip is null where there is none.
    Boxes are (x, y, width, height), in pixels and in shares of the image.
    """
    own = sorted(clip for clip in clips if clip.case == case.id)
    described: dict[str, Any] = {}
    for scene in case.scenes:
        phase = next((s for s in case.segments if s.end_s is not None and s.start_s <= scene.time_s < s.end_s), None)
        clip = next((one for one in own if one.start_s <= scene.time_s < one.end_s), None)
        between = windows.IDLE if case.segments else UNKNOWN_PHASE
        described[second(scene)] = {
            "phase": phase.label if phase else between,
            "published_phase": phase.published if phase else between,
            "objects": [
                {
                    "name": one.name,
                    "published": one.published,
                    "area": one.area,
                    "bbox": list(one.bbox),
                    "bbox_norm": _shares(one.bbox, scene),
                }
                for one in scene.objects
            ],
            "clip": clip.name if clip else None,
            "image": scene.image,
        }
    return described


def describe_published(case: Case, clips: Iterable[Stretch]) -> dict[str, Any]:
    """Describes the annotated frames of a case as the published script does.

    Borders count on both sides, clip borders are those in the clip's name
    (to 0.01 s), names are the publisher's. Of several clips the published script
    takes the first in the folder's order; here it is the earliest.

    Returns:
        The frames that have objects; none for a case without annotated phases.
    """
    if not case.segments:
        return {}
    own = sorted((*_borders(clip.name), clip.name) for clip in clips if clip.case == case.id)
    rows = sorted(case.segments, key=lambda segment: segment.row)
    described: dict[str, Any] = {}
    for scene in case.scenes:
        if not scene.objects:
            continue
        described[second(scene)] = {
            "phase": next((s.published for s in rows if _within(s, scene.time_s)), windows.IDLE),
            "objects": [
                {"area": one.area, "bbox": list(one.bbox), "object_name": one.published} for one in scene.objects
            ],
            "video_filename": next((name for start, end, name in own if start <= scene.time_s <= end), None),
        }
    return described


def second(scene: Scene) -> str:
    """Returns the key of a scene: its time in seconds, without a needless fraction."""
    return f"{scene.time_s:.3f}".rstrip("0").rstrip(".")


def _within(segment: Segment, time_s: float) -> bool:
    return segment.end_s is not None and segment.start_s <= time_s <= segment.end_s


def _borders(name: str) -> tuple[float, float]:
    """Returns start and end from a clip's name: ``case_5013_Incision_4.00_6.81``."""
    parts = name.split("_")
    try:
        return float(parts[-2]), float(parts[-1])
    except (IndexError, ValueError) as error:
        raise InputError(
            f"clip name {name!r} does not end in its start and end",
            fix="give the clips of cut_videos.py --mode published",
        ) from error


def _shares(box: Sequence[float], scene: Scene) -> list[float]:
    x, y, width, height = box
    across, down = scene.width, scene.height
    return [round(value, 6) for value in (x / across, y / down, width / across, height / down)]
