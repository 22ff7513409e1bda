"""The object annotations of Cataract-1K: COCO files, or one Supervisely file an image.

Frames were taken every 5 s and numbered from 1: see :func:`frame_time`.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from suture import delimited, files
from suture.datasets.cataract1k import layout
from suture.errors import InputError
from suture.records import Rejection, Scene, SeenObject

ANATOMY = ("Cornea", "Pupil", "Lens")
INSTRUMENTS = (
    "Slit Knife",
    "Incision Knife",
    "Gauge",
    "Capsulorhexis Cystotome",
    "Capsulorhexis Forceps",
    "Katena Forceps",
    "Spatula",
    "Phacoemulsification Tip",
    "Irrigation-Aspiration",
    "Lens Injector",
)
OBJECTS = (*ANATOMY, *INSTRUMENTS)

# cornea1 and pupil1 are second classes for the same thing; the others are the
# second vocabulary of the Supervisely files.
_SPELLINGS = {delimited.plain(name): name for name in OBJECTS} | {
    "cornea1": "Cornea",
    "pupil1": "Pupil",
    "rhexis": "Capsulorhexis Cystotome",
    "rhexisforceps": "Capsulorhexis Forceps",
    "phacotip": "Phacoemulsification Tip",
    "ia": "Irrigation-Aspiration",
    "cartridge": "Lens Injector",
}
_FRAME_INTERVAL_S = 5
_Reject = Callable[[str, str, str], None]
_INDEX = re.compile(r"_(\d+)\.\w+$")


def canonical(published: str) -> str | None:
    """Returns the canonical name of an object, or None where it is unknown."""
    return _SPELLINGS.get(delimited.plain(published))


def frame_time(index: int) -> int | None:
    """Returns the second that image ``index`` (from 1) was taken at, or None for image 2.

    The frames are what ``ffmpeg -r 1/5`` writes: the first at 0 s, the second
    again from the first seconds, and from the third on (index - 2) * 5 s. The
    published object script uses the same rule and passes over the second.
    The real annotations agree: instruments fall into their phases best (91 %)
    where the offset of this rule is 0 to -1 s, against 74 % for (index - 1) * 5 s.
    """
    if index == 2:
        return None
    return max(0, index - 2) * _FRAME_INTERVAL_S


@dataclass(frozen=True)
class _Image:
    """One annotated image as its file has it. ``objects``: published name, area, box and place in the file."""

    name: str
    width: int
    height: int
    where: str
    objects: list[tuple[str, float, list[float], str]]


def read(root: Path, paths: Sequence[Path], case: str) -> tuple[tuple[Scene, ...], list[Rejection]]:
    """Reads the annotated frames of a case, in order of time; the objects of a frame in the file's order.

    Rejections: second_frame (image 2, whose time is not known), no_frame_number,
    duplicate_frame, unknown_image, unknown_category, bad_box.

    Raises:
        InputError: not a COCO or Supervisely file, an unknown object name, a
            file of another case.
    """
    rejected: list[Rejection] = []

    def reject(reason: str, where: str, detail: str) -> None:
        rejected.append(
            Rejection(stage="annotations", reason=reason, case=case, where=where, detail=f"{where}: {detail}")
        )

    images: list[_Image] = []
    for path in paths:
        content, shown = files.read_json(path), layout.shown(root, path)
        parse = _coco if path.name.lower() == "instances.json" else _supervisely
        try:
            images += parse(path, shown, content, reject)
        except (KeyError, TypeError, ValueError, AttributeError) as error:
            kind = "COCO" if parse is _coco else "Supervisely"
            raise InputError(
                f"not a {kind} file: {type(error).__name__}: {error}",
                where=path,
                fix="take it from its publisher again",
            ) from error
    _check_case(images, case, paths)
    scenes: dict[int, Scene] = {}
    for image in images:
        match = _INDEX.search(image.name)
        time_s = frame_time(int(match[1])) if match else None
        if match is None:
            reject("no_frame_number", image.where, f"image name {image.name!r} does not end in _<number>")
        elif time_s is None:
            reject("second_frame", image.where, f"the time of {image.name} is not known (image 2 repeats the start)")
        elif time_s in scenes:
            reject("duplicate_frame", image.where, f"{image.name} is of the same time as {scenes[time_s].image}")
        else:
            scenes[time_s] = _scene(image, time_s, reject)
    return tuple(scenes[time_s] for time_s in sorted(scenes)), rejected


def _scene(image: _Image, time_s: int, reject: _Reject) -> Scene:
    seen: list[SeenObject] = []
    for published, area, box, where in image.objects:
        name = canonical(published)
        if name is None:
            raise InputError(
                f"unknown object {published!r}{delimited.nearest(published, OBJECTS)}",
                where=where,
                fix=f"objects: {', '.join(OBJECTS)}",
            )
        if len(box) != 4 or not all(map(math.isfinite, (*box, area))) or min(box[2:]) <= 0 or area <= 0:
            reject("bad_box", where, f"{published} in {image.name} has box {box} and area {area:g}")
        else:
            x, y, width, height = box
            seen.append(SeenObject(name=name, published=published, area=area, bbox=(x, y, width, height)))
    return Scene(time_s=time_s, image=image.name, width=image.width, height=image.height, objects=tuple(seen))


def _coco(path: Path, shown: str, content: Any, reject: _Reject) -> list[_Image]:
    """Reads a COCO file. Categories by name: the release has two tables with different ids."""
    names = {one["id"]: str(one["name"]) for one in content["categories"]}
    images = {
        one["id"]: _Image(str(one["file_name"]), int(one["width"]), int(one["height"]), shown, [])
        for one in content["images"]
    }
    if len(images) < len(content["images"]):
        raise InputError("two images have the same id", where=path, fix="take the file from its publisher again")
    for position, one in enumerate(content["annotations"]):
        where = f"{shown}, annotations[{position}]"
        if one.get("image_id") not in images:
            reject("unknown_image", where, f"image_id {one.get('image_id')!r} is not in the file's images")
        elif one.get("category_id") not in names:
            reject("unknown_category", where, f"category_id {one.get('category_id')!r} is not in the file's categories")
        else:
            box = [_finite(value) for value in one.get("bbox") or []]
            area = _finite(one.get("area"))
            images[one["image_id"]].objects.append((names[one["category_id"]], area, box, where))
    return list(images.values())


def _supervisely(path: Path, shown: str, content: Any, reject: _Reject) -> list[_Image]:
    """Reads the Supervisely file of one image; box and area are those of the polygons' outlines."""
    del reject
    size = content["size"]
    image = _Image(path.name[: -len(".json")], int(size["width"]), int(size["height"]), shown, [])
    for position, one in enumerate(content["objects"]):
        outline = [(_finite(x), _finite(y)) for x, y in one["points"]["exterior"]]
        area, box = _outline(outline)
        image.objects.append((str(one["classTitle"]), area, box, f"{shown}, objects[{position}]"))
    return [image]


def _outline(points: list[tuple[float, float]]) -> tuple[float, list[float]]:
    """Returns area (shoelace formula) and box of a polygon."""
    if not points:
        return 0.0, []
    xs, ys = [x for x, _ in points], [y for _, y in points]
    pairs = zip(points, points[1:] + points[:1], strict=True)
    area = abs(sum(x0 * y1 - x1 * y0 for (x0, y0), (x1, y1) in pairs)) / 2
    return area, [min(xs), min(ys), max(xs) - min(xs), max(ys) - min(ys)]


def _finite(value: Any) -> float:
    return float(value) if isinstance(value, int | float) else math.nan


def _check_case(images: list[_Image], case: str, paths: Sequence[Path]) -> None:
    named = {layout.case_of_image(one.name) for one in images} - {None}
    if named and case not in named:
        raise InputError(
            f"the images are of {', '.join(sorted(str(one) for one in named))}, not of {case}",
            where=paths[0],
            fix="move the file to the folder of its own case",
        )
