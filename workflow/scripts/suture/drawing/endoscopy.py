"""Invented endoscopies whose class is in the motion: the scope advances into the lumen, or is drawn back.

Folds are rings about a dark lumen; advancing, they grow outward, withdrawing,
they shrink inward. Each clip is drawn with its fold at a phase that is uniform over all phases at each moment, so that a
single frame, and any set of frames without their order, is as likely in one
class as in the other: what tells them apart is which way the folds go. The
same clip mirrored keeps its class, played backwards it has the other.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from suture import files
from suture.drawing.video import encode

CLASSES = ("withdrawal", "advance")
SPLIT_OF_CLIPS = ("train", "val", "test")
FRAMES = 40
"""Frames of a clip."""


@dataclass(frozen=True, kw_only=True)
class Clip:
    """A drawn clip: where its video lies under the root, its class, and the seed of its looks."""

    path: str
    patient: str
    label: int
    split: str


def plan(patients: Sequence[str], *, clips: int, seed: int) -> list[Clip]:
    """Deals patients to splits and clips to classes.

    Args:
        patients: their ids, ``<dataset>.<patient>``; of each dataset's, in
            order, the first half are train, the next quarter val, the rest test.
        clips: of each patient, as many of one class as of the other, or one more.
        seed: of everything that is drawn.

    Returns:
        The clips sorted by path.
    """
    by_dataset: dict[str, list[str]] = {}
    for name in patients:
        by_dataset.setdefault(name.partition(".")[0], []).append(name)
    found = []
    for dataset, names in by_dataset.items():
        for place, name in enumerate(names):
            share = (place + 0.5) / len(names)
            split = "train" if share < 0.5 else "val" if share < 0.75 else "test"
            patient = name.partition(".")[2]
            first = _random(seed, name).integers(2)
            for number in range(clips):
                path = f"{dataset}/videos/{patient}/{number:03d}.mp4"
                found.append(Clip(path=path, patient=patient, label=int(first + number) % 2, split=split))
    return sorted(found, key=lambda clip: clip.path)


def _random(seed: int, name: str) -> np.random.Generator:
    digest = hashlib.sha256(f"{seed}\n{name}".encode()).digest()
    return np.random.default_rng(int.from_bytes(digest[:8]))


def frames(clip: Clip, *, seed: int, size: int) -> Iterator[NDArray[np.uint8]]:
    """Draws the frames of a clip, each uint8 [size, size, 3].

    A patient's mucosa has one colour; place of the lumen, phase and speed are the clip's.
    """
    looks, chance = _random(seed, f"{clip.path.split('/')[0]} {clip.patient}"), _random(seed, clip.path)
    tint = np.array([205, 105, 90]) + looks.normal(0, 12, 3)
    centre = 0.5 + chance.uniform(-0.06, 0.06, 2)
    phase, speed = chance.uniform(0, 1), chance.uniform(0.8, 1.3) / FRAMES
    direction = 1 if clip.label == 1 else -1
    wobble, turn = chance.uniform(0, 0.02, 2), chance.uniform(0, 2 * np.pi)
    yy, xx = (np.mgrid[0:size, 0:size] + 0.5) / size
    for number in range(FRAMES):
        sway = wobble * np.sin(2 * np.pi * number / FRAMES + turn)
        y, x = yy - centre[0] - sway[0], xx - centre[1] - sway[1]
        radius = np.hypot(x, y) + 1e-3
        # Depth grows as the radius shrinks: folds at equal distances along the lumen stand at equal logarithms.
        along = 1.1 * np.log(radius / 0.5) - direction * speed * number + phase
        folds = 0.5 + 0.5 * np.cos(2 * np.pi * along)
        light = np.clip(radius / 0.35, 0.05, 1.0) * (0.55 + 0.45 * folds**2)
        picture = tint * light[..., None] + chance.normal(0, 4, (size, size, 1))
        yield np.clip(picture, 0, 255).astype(np.uint8)


def write(root: Path, clips: Sequence[Clip], *, seed: int, size: int, fps: int) -> None:
    """Writes one dataset's folder as ``video_folder`` reads it: lists, patients, names of the classes, videos.

    Args:
        root: holds a folder for each dataset.
        clips: of :func:`plan`.
        seed: of the drawings.
        size: width and height in pixels.
        fps: frames a second.
    """
    by_dataset: dict[str, list[Clip]] = {}
    for clip in clips:
        by_dataset.setdefault(clip.path.split("/")[0], []).append(clip)
    for dataset, members in sorted(by_dataset.items()):
        for clip in members:
            target = root / clip.path
            target.parent.mkdir(parents=True, exist_ok=True)
            encode(target, frames(clip, seed=seed, size=size), (size, size), fps)
        for name, text in lists(members).items():
            files.write_text(root / dataset / "splits" / name, text)


def lists(clips: Sequence[Clip]) -> Mapping[str, str]:
    """Returns the files beside a dataset's videos by name."""
    inner = {clip: clip.path.partition("/videos/")[2] for clip in clips}
    found = {
        f"{split}.txt": "".join(f"{inner[clip]},{clip.label}\n" for clip in clips if clip.split == split)
        for split in SPLIT_OF_CLIPS
    }
    found["labels.txt"] = "".join(f"{name}\n" for name in CLASSES)
    found["patients.csv"] = "path,patient\n" + "".join(f"{inner[clip]},{clip.patient}\n" for clip in clips)
    return found
