"""Reads case_objects.json (default mode): the annotated scenes of each case."""

from __future__ import annotations

import math
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from suture import files
from suture.errors import InputError
from suture.qa.names import ObjectNames

Box = tuple[float, float, float, float]


@dataclass(frozen=True)
class ClipScene:
    """The objects annotated in one frame: canonical name and box (x, y, width, height in shares of the image)."""

    case: str
    time_s: float
    phase: str
    clip: str | None
    image: str
    objects: tuple[tuple[str, Box], ...]

    @property
    def where(self) -> str:
        return f"{self.case}, {self.image} at {self.time_s:g} s"


def read(path: Path, names: ObjectNames) -> list[ClipScene]:
    """Reads all scenes of a case_objects.json, sorted by case and time.

    Raises:
        InputError: another layout, a missing key, a time or a box that is no
            number, an unknown object name; file, case and second are named.
    """
    table = files.read_json(path)
    if not isinstance(table, dict) or not all(isinstance(scenes, dict) for scenes in table.values()):
        raise _layout("not a table of cases and seconds", path)
    scenes = [
        _scene(case, second, row, f"{path}, {case} at {second} s", names)
        for case, seconds in table.items()
        for second, row in seconds.items()
    ]
    return sorted(scenes, key=lambda scene: (scene.case, scene.time_s, scene.image))


def _layout(problem: str, where: object) -> InputError:
    return InputError(problem, where=where, fix="make the file with describe_objects.py --mode default")


def _scene(case: str, second: str, row: Any, where: str, names: ObjectNames) -> ClipScene:
    try:
        time_s = float(second)
        objects = tuple((str(one["name"]), _box(one["bbox_norm"])) for one in row["objects"])
        scene = ClipScene(case, time_s, str(row["phase"]), row["clip"], str(row["image"]), objects)
    except KeyError as error:
        raise _layout(f"key {error} is missing", where) from error
    except (TypeError, ValueError) as error:
        raise _layout(f"not a scene: {error}", where) from error
    if not math.isfinite(time_s):
        raise _layout(f"{second!r} is not a time", where)
    for name, _ in objects:
        names.kind_of(name, where=where)
    return scene


def _box(values: Any) -> Box:
    x, y, width, height = (float(value) for value in values)
    if not all(map(math.isfinite, (x, y, width, height))) or width < 0 or height < 0:
        raise ValueError(f"{values} is not a box")
    return x, y, width, height
