"""What frames a run drew, as a page: where in the videos they lie, how even and how complete they are."""

from __future__ import annotations

import base64
import io
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from statistics import fmean, pstdev, quantiles
from typing import Any

import jinja2
from PIL import Image

from suture.frames import FrameCache
from suture.sampled_frames import Drawn

TEMPLATES = Path(__file__).resolve().parents[2] / "report"
BINS = 20
"""Parts of a video that frames are counted in."""


@dataclass(frozen=True, kw_only=True)
class Series:
    """The lines of one file: ``name`` and ``split`` are those of its name."""

    name: str
    split: str
    rows: tuple[Drawn, ...]


def series_of(path: Path, rows: Sequence[Drawn]) -> Series:
    """Takes a file's name apart, ``sampling_indices_{name}_{method}_{split}[_augstep{k}].csv``; rows know the method.

    ``random_window`` has an underscore of its own, which is why the published
    dashboard shows it as another method and another split.
    """
    stem = path.stem.removeprefix("sampling_indices_")
    stem = stem.rpartition("_augstep")[0] or stem
    split = stem.rpartition("_")[2]
    method = rows[0].method if rows else ""
    name = stem.removesuffix(f"_{split}").removesuffix(f"_{method}")
    return Series(name=name, split=split, rows=tuple(rows))


def groups(series: Iterable[Series]) -> list[dict[str, Any]]:
    """Returns the numbers of each (run, split, method, round), and of all rounds together, as plain JSON values.

    Each has ``position``: shares of the frames in :data:`BINS` equal parts of
    their videos. ``gap_cv``: quartiles, over the lines, of the standard
    deviation of the gaps between frames over their mean (0: even). ``coverage``:
    quartiles, over the videos, of the share of their frames that was seen at
    all. ``span``: of the share of a video between its first and last frame.
    ``frames``: how many lines have how many different frames.
    """
    found = []
    for one in series:
        rounds = sorted({row.round for row in one.rows})
        if len(rounds) > 1:
            found.append(_group(one, one.rows, "all"))
        found += [_group(one, [row for row in one.rows if row.round == round_], str(round_)) for round_ in rounds]
    return found


def _group(one: Series, rows: Sequence[Drawn], round_: str) -> dict[str, Any]:
    places = Counter(min(BINS - 1, i * BINS // row.total_frames) for row in rows for i in row.indices)
    total = sum(places.values())
    seen: dict[str, set[int]] = {}
    for row in rows:
        seen.setdefault(row.clip, set()).update(row.indices)
    totals = {row.clip: row.total_frames for row in rows}
    return {
        "run": one.name,
        "split": one.split,
        "method": rows[0].method,
        "round": round_,
        "lines": len(rows),
        "videos": len(seen),
        "position": [round(places[at] / total, 5) for at in range(BINS)],
        "gap_cv": _quartiles([gap_cv(row.indices) for row in rows]),
        "coverage": _quartiles([len(seen[clip]) / totals[clip] for clip in seen]),
        "span": _quartiles([(row.indices[-1] - row.indices[0] + 1) / row.total_frames for row in rows]),
        "frames": dict(sorted(Counter(len(set(row.indices)) for row in rows).items())),
    }


def gap_cv(indices: Sequence[int]) -> float:
    """Returns the coefficient of variation of the gaps between frames; 0 where there is no gap."""
    gaps = [b - a for a, b in pairwise(indices)]
    return pstdev(gaps) / fmean(gaps) if gaps and fmean(gaps) > 0 else 0.0


def _quartiles(values: Sequence[float]) -> list[float]:
    inner = quantiles(values, n=4, method="inclusive") if len(values) > 1 else [values[0]] * 3
    return [round(value, 4) for value in (min(values), *inner, max(values))]


def strips(series: Iterable[Series], cache: FrameCache, *, videos: int, height: int = 56) -> list[dict[str, Any]]:
    """Returns the frames of the first lines of some videos as pictures, for those who may see them.

    Args:
        series: the lines.
        cache: all frames of their clips.
        videos: how many of each series.
        height: of a picture in pixels.
    """
    found = []
    for one in series:
        shown = 0
        for row in one.rows:
            if shown == videos:
                break
            if row.clip not in cache:
                continue
            frames = cache.frames(row.clip)[list(row.indices)]
            width = round(height * frames.shape[2] / frames.shape[1])
            strip = Image.new("RGB", (width * len(frames), height))
            for at, frame in enumerate(frames):
                strip.paste(Image.fromarray(frame).resize((width, height)), (at * width, 0))
            data = io.BytesIO()
            strip.save(data, format="JPEG", quality=80)
            found.append(
                {
                    "run": one.name,
                    "split": one.split,
                    "method": row.method,
                    "round": str(row.round),
                    "clip": row.clip,
                    "label": row.label,
                    "indices": list(row.indices),
                    "total": row.total_frames,
                    "picture": "data:image/jpeg;base64," + base64.b64encode(data.getvalue()).decode(),
                }
            )
            shown += 1
    return found


def render(found: Sequence[Mapping[str, Any]], pictures: Sequence[Mapping[str, Any]]) -> str:
    """Renders the page: one HTML text without references to other files. All values are escaped."""
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(TEMPLATES), autoescape=True, undefined=jinja2.StrictUndefined
    )
    style = (TEMPLATES / "page.css").read_text(encoding="utf-8")
    return environment.get_template("sampling.html.j2").render(groups=found, strips=pictures, bins=BINS, style=style)
