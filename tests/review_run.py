"""A run's folder as a review needs it: four answers about two clips, one of which cannot be read."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from support import make_clip
from suture import records
from suture.drawing.video import encode
from suture.records import Sample, Turn

MARKUP = "</script><script>document.title = 'broken'</script>"


def write_reviewed(folder: Path, *, sharing: str = "open") -> None:
    """Writes samples, clips and configuration; clip_1 is a film of 2 s, clip_2 is no film at all."""
    clips = folder / "clips"
    clips.mkdir(parents=True)
    film = [np.full((48, 64, 3), (10 * i, 90, 255 - 10 * i), np.uint8) for i in range(20)]
    encode(clips / "clip_1.mp4", film, (64, 48), 10)
    (clips / "clip_2.mp4").write_bytes(b"no film")
    shape = {"fps": 10.0, "n_frames": 20, "end_s": 2.0}
    known = [make_clip(id=f"clip_{i}", case=f"case_{i}", path=f"clip_{i}.mp4", **shape) for i in (1, 2)]
    samples = [
        Sample(
            id=f"clip_{i}", case=f"case_{i}", clip=f"clip_{i}", phase="Incision",
            turns=(
                Turn(question=f"Which phase? {MARKUP}", answer="It is the Incision.", kind="phase"),
                Turn(question="What is in sight?", answer="The Cornea, the Pupil", kind="anatomy"),
            ),
        )
        for i in (1, 2)
    ]  # fmt: skip
    records.write(folder / "manifests" / "samples" / "0.jsonl", samples)
    records.write(folder / "manifests" / "clips.jsonl", known)
    (folder / "config.resolved.yaml").write_text(f"run: demo\ndataset: cataract1k\nsharing: {sharing}\nqa: {{}}\n")
