"""Clips and their annotated scenes, written as the stages before question writing leave them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from support import make_clip
from suture import files, records

BOXES = {
    "Pupil": (0.4, 0.4, 0.2, 0.2),
    "Cornea": (0.3, 0.3, 0.4, 0.4),
    "Lens": (0.42, 0.42, 0.16, 0.16),
    "Slit Knife": (0.8, 0.45, 0.1, 0.1),
    "Gauge": (0.0, 0.45, 0.1, 0.1),
    "Spatula": (0.45, 0.0, 0.1, 0.1),
    "Phacoemulsification Tip": (0.8, 0.8, 0.1, 0.1),
    "Lens Injector": (0.45, 0.85, 0.1, 0.1),
}
STORY = (
    ("Incision", "Cornea Pupil", "Slit Knife"),
    ("Viscoelastic", "Cornea Pupil", "Gauge"),
    ("Hydrodissection", "Cornea Pupil", "Gauge"),
    ("Phacoemulsification", "Cornea Pupil", "Phacoemulsification Tip,Spatula"),
    ("Lens Implantation", "Cornea Pupil Lens", "Lens Injector,Spatula"),
    ("Lens Positioning", "Pupil Lens", "Spatula"),
    ("Anterior Chamber Flushing", "Cornea Pupil Lens", ""),
)


def write(folder: Path, count: int, cases: int = 1) -> tuple[Path, Path]:
    """Writes clips.jsonl and objects.json of ``count`` clips a case; returns their paths."""
    clips = []
    table: dict[str, dict[str, Any]] = {}
    for number in range(cases):
        case = f"case_{number + 1}"
        for at in range(count):
            phase, anatomy, instruments = STORY[(at + number) % len(STORY)]
            clip = make_clip(id=f"{case}_{at:03}", case=case, phase=phase, start_s=5.0 * at, end_s=5.0 * at + 5)
            names = [*anatomy.split(), *filter(None, instruments.split(","))]
            objects = [
                {"name": name, "published": name, "area": 9.0, "bbox": [0, 0, 1, 1], "bbox_norm": BOXES[name]}
                for name in names
            ]
            scene = {
                "phase": phase,
                "published_phase": phase,
                "objects": objects,
                "clip": clip.id,
                "image": f"{at}.png",
            }
            table.setdefault(case, {})[str(5 * at + 1)] = scene
            clips.append(clip)
    folder.mkdir(parents=True, exist_ok=True)
    records.write(folder / "clips.jsonl", clips)
    files.write_json(folder / "objects.json", table, sort_keys=False)
    return folder / "clips.jsonl", folder / "objects.json"
