"""Draws the real annotation polygons of a Cataract-1K case at their times.

No claim of likeness: each outline is filled with its instrument's colour and
held for the 5 s around its instant. What it is good for is to run the whole
DAG on the publisher's own files without their videos.
"""

from __future__ import annotations

import json
import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image, ImageDraw

from suture import files, registry
from suture.drawing import eye, instruments, publish
from suture.drawing.chance import generator
from suture.drawing.film import FINE, Frame, Noise, Seen
from suture.drawing.plan import WINDOW_S
from suture.errors import InputError

_TISSUE = {"Cornea": (112, 84, 60), "Pupil": (150, 44, 28), "Lens": (176, 190, 216)}
_SCLERA = (222, 204, 194)
# Enough that no two frames of a phase are equal; more would only make large files of still pictures.
_NOISE = 1.5


@dataclass(frozen=True)
class Annotated:
    """One case as it was annotated.

    ``scenes``: seconds → objects with outlines as shares of the image's width
    and height, names canonical. ``phases``: (start, end) in seconds.
    """

    case: str
    phases: tuple[tuple[float, float], ...]
    scenes: Mapping[float, tuple[Seen, ...]]
    phase_file: Path | None
    object_file: Path | None

    @property
    def duration_s(self) -> float:
        """The length of a video in which every annotated second exists."""
        ends = [end for _, end in self.phases]
        return max([*ends, *(time_s + WINDOW_S / 2 for time_s in self.scenes)], default=WINDOW_S)


def read(root: Path, case: str) -> Annotated:
    """Reads a case's phases and outlines from real annotations, in any layout that the adapter knows.

    Raises:
        InputError: no such case, an unreadable file, or objects in Supervisely files only.
    """
    adapter = registry.dataset("cataract1k")
    known = adapter.read_case(root, case)
    found = adapter.case_files(root, case)
    phase_file = next((path for path in found if path.suffix.lower() == ".csv"), None)
    object_file = next((path for path in found if path.name.lower() == "instances.json"), None)
    if object_file is None and known.scenes:
        raise InputError(
            f"{case} has its objects in Supervisely files only", where=root, fix="add the publisher's COCO file of it"
        )
    outlines = _outlines(object_file) if object_file else {}
    canonical = {seen.published: seen.name for scene in known.scenes for seen in scene.objects}
    scenes = {
        scene.time_s: tuple(
            Seen(canonical.get(seen.name, seen.name), seen.outline) for seen in outlines.get(scene.image, ())
        )
        for scene in known.scenes
    }
    phases = tuple((one.start_s, one.end_s) for one in known.segments if one.end_s is not None)
    return Annotated(case, phases, scenes, phase_file, object_file)


def _outlines(path: Path) -> dict[str, list[Seen]]:
    """Reads the polygons of a COCO file: image name → objects, outlines as shares of the image."""
    content = files.read_json(path)
    try:
        names = {one["id"]: str(one["name"]) for one in content["categories"]}
        images = {one["id"]: one for one in content["images"]}
        found: dict[str, list[Seen]] = {str(one["file_name"]): [] for one in content["images"]}
        for one in content["annotations"]:
            # The adapter has counted what belongs to no image or no category.
            if one["image_id"] in images and one["category_id"] in names:
                image = images[one["image_id"]]
                size = (image["width"], image["height"])
                seen = (Seen(names[one["category_id"]], _points(corners, size)) for corners in one["segmentation"])
                found[str(image["file_name"])] += [outline for outline in seen if len(outline.outline) >= 3]
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise InputError(
            f"not a COCO file with polygons: {type(error).__name__}: {error}",
            where=path,
            fix="take it from its publisher again",
        ) from error
    return found


def _points(corners: Any, size: tuple[int, int]) -> np.ndarray:
    return np.array(corners, dtype=float).reshape(-1, 2) / size


class Film:
    """The video of an annotated case: its outlines, each held for the 5 s around its instant.

    Args:
        annotated: what was annotated when.
        seed: the seed of the noise.
        size: width and height in pixels.
        fps: frames a second.
    """

    def __init__(self, annotated: Annotated, seed: int, size: tuple[int, int], fps: int) -> None:
        self.annotated, self.size, self.fps = annotated, size, fps
        self.frames = max(1, math.ceil(annotated.duration_s * fps))
        self._noise = Noise(generator(annotated.case, seed, "noise"), size, _NOISE)
        paint = generator(annotated.case, seed, "paint")
        look = eye.draw_look(generator(annotated.case, seed, "look"))
        wide, high = size[0] * FINE, size[1] * FINE
        centre, radius = (look.x * wide, look.y * high), look.zoom * min(wide, high)
        self._plain = np.asarray(eye.paint_eye(paint, look, wide, high, centre, radius).reduce(FINE))

    def __iter__(self) -> Iterator[Frame]:
        """Yields the frames in order; outside the phases they are still, without noise, and cost next to nothing."""
        held: tuple[int, Frame] | None = None
        for number in range(self.frames):
            time_s = number / self.fps
            window = math.floor(time_s / WINDOW_S + 0.5)
            if held is None or held[0] != window:
                held = window, self.clean(window * WINDOW_S)
            inside = any(start <= time_s <= end for start, end in self.annotated.phases)
            yield self._noise.add(held[1], np.float32(1)) if inside else held[1]

    def clean(self, instant_s: float) -> Frame:
        """Paints what was annotated at an instant, or a plain eye where nothing was."""
        scene = self.annotated.scenes.get(instant_s)
        if not scene:
            return self._plain
        scale = np.array(self.size) * FINE
        canvas = Image.new("RGB", (int(scale[0]), int(scale[1])), _SCLERA)
        pen = ImageDraw.Draw(canvas)
        order = list(_TISSUE)
        for seen in sorted(scene, key=lambda one: order.index(one.name) if one.name in order else len(order)):
            shape = instruments.SHAPES.get(seen.name)
            colour = _TISSUE.get(seen.name) or (shape.colour if shape else instruments.PLAIN)
            instruments.paint_outline(pen, seen.outline * scale, colour, rim=1)
        return np.asarray(canvas.reduce(FINE))


def copy_annotations(
    annotated: Annotated, *, phases: Path | None, video_info: Path | None, objects: Path | None
) -> None:
    """Copies those of the publisher's files that have a target, byte by byte.

    A file that the publisher does not have becomes one that says nothing: a
    header without rows, a COCO file without images. The adapter then reads the
    same phases and scenes as from the original.
    """
    info = None
    if annotated.phase_file:
        beside = annotated.phase_file.parent.iterdir()
        info = next((path for path in sorted(beside) if path.name.lower().endswith("_video.csv")), None)
    for source, target, empty in (
        (annotated.phase_file, phases, publish.PHASES_HEADER + "\n"),
        (info, video_info, publish.VIDEO_HEADER + "\n"),
        (annotated.object_file, objects, json.dumps(publish.coco([], []))),
    ):
        if target is None:
            continue
        if source is None:
            files.write_text(target, empty)
        else:
            with files.atomic_path(target) as temporary:
                temporary.write_bytes(source.read_bytes())
