"""A toy dataset for caching, training and predicting: squares whose colour is the answer."""

from __future__ import annotations

from pathlib import Path

import av
import numpy as np

from support import make_clip
from suture import files, records
from suture.records import Sample, Turn

COLOURS = {"red": (220, 40, 40), "green": (40, 200, 60), "blue": (50, 80, 230), "yellow": (230, 220, 40)}


def make_toy(root: Path, *, clips: int, size: int = 64, frames: int = 12, seed: int = 0) -> Path:
    """Writes videos, ``clips.jsonl`` and ``samples.jsonl`` under ``root``; two clips a case.

    Each clip's first two frames are black and not part of the wanted stretch.
    """
    rng = np.random.default_rng(seed)
    made, samples = [], []
    for number in range(clips):
        case = f"case_{seed}{number // 2:03d}"
        name = f"{case}_{number % 2}"
        colour = list(COLOURS)[number % len(COLOURS)]
        path = root / "clips" / case / f"{name}.mp4"
        path.parent.mkdir(parents=True, exist_ok=True)
        x, y = rng.integers(4, size // 2 - 4, 2)
        with av.open(str(path), "w") as container:
            stream = container.add_stream("libx264", rate=10)
            stream.width = stream.height = size
            stream.pix_fmt = "yuv420p"
            for time in range(frames + 2):
                image = rng.integers(40, 60, (size, size, 3)).astype(np.uint8)
                image[y : y + size // 2, x : x + size // 2] = COLOURS[colour]
                if time < 2:
                    image[:] = 0
                container.mux(stream.encode(av.VideoFrame.from_ndarray(image, format="rgb24")))
            container.mux(stream.encode())
        made.append(
            make_clip(
                id=name,
                case=case,
                phase=colour,
                end_s=frames / 10,
                first_frame=2,
                n_frames=frames,
                fps=10.0,
                width=size,
                height=size,
                sha256=files.sha256_file(path),
                source_sha256="0" * 64,
            )
        )
        turns = (
            Turn(question="Which color is shown?", answer=f"The color is {colour}.", kind="color"),
            Turn(question="Is it red?", answer="yes" if colour == "red" else "no", kind="red"),
        )
        samples.append(Sample(id=name, case=case, clip=name, phase=colour, turns=turns))
    records.write(root / "clips.jsonl", made)
    records.write(root / "samples.jsonl", samples)
    return root


def cache_arguments(root: Path, out: Path, *more: object) -> list[object]:
    """Arguments of ``cache_frames`` for a toy dataset: 4 frames of 56x56."""
    data = ["--clips", root / "clips.jsonl", "--clips-dir", root / "clips", "--frames", 4, "--size", 56, 56]
    files_out = [
        "--output",
        out / "shard-0.jsonl",
        "--array",
        out / "shard-0.npy",
        "--rejected",
        out / "rejected.jsonl",
    ]
    return [*data, *files_out, *more]
