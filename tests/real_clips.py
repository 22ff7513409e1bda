"""Clip records of the real Cataract-1K cases, without media: the clips that the published script makes of them."""

from __future__ import annotations

import csv
from pathlib import Path

from support import make_clip
from suture import records
from suture.datasets.cataract1k import phases
from suture.records import Clip


def published_clips(cataract1k: Path) -> list[Clip]:
    """Returns expected/clips.csv as clip records; each case has a video digest of its own."""
    with (cataract1k / "expected" / "clips.csv").open(newline="") as handle:
        return [_clip(row) for row in csv.DictReader(handle)]


def _clip(row: dict[str, str]) -> Clip:
    case, name = row["case"], row["file"].removesuffix(".mp4")
    phase = phases.canonical("_".join(name.removeprefix(f"{case}_").split("_")[:-2]))
    assert phase is not None, name
    start_s = float(row["start_s"])
    return make_clip(
        id=name,
        case=case,
        phase=phase,
        start_s=start_s,
        end_s=round(start_s + float(row["duration_s"]), 6),
        n_frames=max(1, round(float(row["duration_s"]) * 30)),
        width=1024,
        height=768,
    )


def write_published_clips(cataract1k: Path, target: Path) -> Path:
    """Writes them as a clips manifest."""
    records.write(target, sorted(published_clips(cataract1k), key=lambda clip: clip.id))
    return target
