"""Invented laryngoscopies whose class is in the motion: the vocal folds open and close, or stand still.

A fold that does not move is a reason to refer the patient. The glottis of
each frame is open by as much as a wave is high at some phase; in a clip of
class ``mobile`` the phase runs, in one of class ``immobile`` it stays. It is
drawn from all phases alike, so that a single frame is as likely in one class
as in the other: nothing but what changes tells them apart.
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

CLASSES = ("mobile", "immobile")
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

    A patient's mucosa has one colour and blotches of its own, by which no other patient's pictures are taken for it;
    phase and pace are the clip's. The scope sways a little in every clip.
    """
    looks, chance = _random(seed, f"{clip.path.split('/')[0]} {clip.patient}"), _random(seed, clip.path)
    tint = np.array([205, 110, 95]) + looks.normal(0, 8, 3)
    centre = 0.5 + looks.uniform(-0.03, 0.03, 2)
    phase, pace = chance.uniform(0, 1), chance.uniform(1.6, 2.4) / FRAMES
    sway, turn = chance.uniform(0.005, 0.015), chance.uniform(0, 2 * np.pi)
    y, x = ((np.mgrid[0:size, 0:size] + 0.5) / size) - centre[:, None, None]
    blotches = [
        (looks.uniform(-0.5, 0.5, 2), looks.uniform(0.06, 0.15), looks.normal(0, 40) + looks.normal(0, 12, 3))
        for _ in range(14)
    ]
    for number in range(FRAMES):
        moved = x - sway * np.sin(2 * np.pi * number / FRAMES + turn)
        at = phase if clip.label == CLASSES.index("immobile") else phase + pace * number
        opening = 0.03 + 0.12 * (0.5 + 0.5 * np.cos(2 * np.pi * at))
        # The glottis: narrow in front, wide behind, between two pale folds.
        length = np.clip((y + 0.32) / 0.64, 0, 1)
        edge = opening * length * (np.abs(y) < 0.32)
        inside = (np.abs(y) < 0.32) / (1 + np.exp((np.abs(moved) - edge) / 0.012))
        fold = np.exp(-(((np.abs(moved) - edge - 0.05) / 0.04) ** 2)) * (np.abs(y) < 0.34)
        light = 1.1 - 1.1 * np.hypot(moved, y)
        mucosa = tint + sum(
            np.exp(-((moved - at_x) ** 2 + (y - at_y) ** 2) / (2 * wide**2))[..., None] * colour
            for (at_y, at_x), wide, colour in blotches
        )
        picture = (mucosa * light[..., None] + fold[..., None] * np.array([45, 75, 75])) * (
            1 - 0.92 * inside[..., None]
        )
        yield np.clip(picture + chance.normal(0, 6, (size, size, 1)), 0, 255).astype(np.uint8)


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
