"""REAL-Colon-VQA's JSON Lines: ids that repeat, lines that cannot be read, a test video that is never trained on."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

import cache_frames
import cut_videos
import ingest
from support import call
from suture import records, registry
from suture.datasets.base import never_trained
from suture.errors import InputError
from suture.frames import FrameCache
from suture.records import Clip, Rejection, Sample
from suture.video.reading import read_frames


def row(video: str = "002-003", first: int = 3806, **more: Any) -> dict[str, Any]:
    """A line in the publisher's layout."""
    numbers = [first + 4 * place for place in range(8)]
    return {
        "id": "qa_000001",
        "video_id": video,
        "frames": [f"{video}_{number}" for number in numbers],
        "frame_numbers": numbers,
        "question": "Is clean mucosa visible in this sequence?",
        "question_type": "mucosa_visibility",
        "support_frames": 8,
        "total_frames": 8,
        "support_ratio": 1.0,
        "support_percentage": 100.0,
        "answer": "No, clean mucosa is not consistently visible.",
        "short_answer": "no",
        **more,
    }


def write(path: Path, *rows: Any) -> Path:
    path.write_text("\n".join(one if isinstance(one, str) else json.dumps(one) for one in rows) + "\n")
    return path


def test_rows_of_one_id_are_all_read(tmp_path: Path) -> None:
    write(
        tmp_path / "train.jsonl",
        row(),
        row(question="Is there a polyp?", question_type="polyp", answer="Yes."),
        row(first=4000),
        row(),
    )
    write(tmp_path / "test.jsonl", row("002-006", 10))
    adapter = registry.dataset("real_colon_vqa")
    assert adapter.case_ids(tmp_path) == ["002-003", "002-006"]
    case = adapter.read_case(tmp_path, "002-003")
    assert [(s.media, s.start_s, s.end_s, len(s.turns)) for s in case.segments] == [
        ("002-003_frames", 3806.0, 3834.0, 2),
        ("002-003_frames", 4000.0, 4028.0, 1),
    ]
    assert case.segments[0].frames[:2] == ("002-003_frames/002-003_3806", "002-003_frames/002-003_3810")
    assert [(one.reason, one.where) for one in case.rejected] == [("duplicate_row", "train.jsonl:4")]
    assert case.segments[0].turns[1].kind == "polyp"
    samples = tmp_path / "samples.jsonl"
    call(ingest, "--adapter", "real_colon_vqa", "--root", tmp_path, "--without-media", "--questions", "apart",
         "--output", samples)  # fmt: skip
    ids = [one.id for one in records.read(samples, Sample)]
    assert len(ids) == len(set(ids)) == 4


def test_lines_that_cannot_be_read_are_named(tmp_path: Path) -> None:
    odd = [row(), "{", row(answer=""), row(frames=["002-003_9", "002-003_4"]), row(frames=["../../x"])]
    write(tmp_path / "a.jsonl", *odd)
    adapter = registry.dataset("real_colon_vqa")
    found: list[Rejection] = adapter.general(tmp_path, None)  # type: ignore[attr-defined]
    assert [(one.where, one.reason) for one in found] == [
        ("a.jsonl:2", "not_json"),
        ("a.jsonl:3", "missing_key"),
        ("a.jsonl:4", "bad_frames"),
        ("a.jsonl:5", "bad_frames"),
    ]
    with pytest.raises(InputError, match="no usable line"):
        adapter.case_ids(write(tmp_path / "b.jsonl", "{"))


def test_the_published_test_video_is_never_trained_on(tmp_path: Path) -> None:
    write(tmp_path / "a.jsonl", row(), row("002-006"))
    adapter = registry.dataset("real_colon_vqa")
    assert adapter.read_split(tmp_path) == {"002-003": "train", "002-006": "test"}  # type: ignore[attr-defined]
    assert never_trained(adapter) == {"002-006"}


def draw(root: Path, video: str, numbers: list[int], *, size: int = 64) -> None:
    """Writes the publisher's frames of a video; each one's grey tells its number."""
    folder = root / "videos" / f"{video}_frames"
    folder.mkdir(parents=True, exist_ok=True)
    told = Image.Exif()
    told[0x010E] = "PATIENT NAME"
    for number in numbers:
        Image.new("RGB", (size, 48), (number % 250,) * 3).save(folder / f"{video}_{number}.jpg", quality=95, exif=told)


def cut(root: Path, out: Path) -> tuple[list[Clip], list[Rejection]]:
    call(cut_videos, "--adapter", "real_colon_vqa", "--annotations", root, "--videos", root / "videos",
         "--clips-dir", out / "clips", "--output", out / "clips.jsonl",
         "--rejected", out / "rejected.jsonl")  # fmt: skip
    return records.read(out / "clips.jsonl", Clip), records.read(out / "rejected.jsonl", Rejection)


def test_runs_of_frames_become_clips_of_just_these_frames(tmp_path: Path) -> None:
    data, out = tmp_path / "data", tmp_path / "out"
    data.mkdir()
    other = [3806, *range(3811, 3834, 4), 3834]  # begins and ends where the first run does
    gone, odd = [*range(5000, 5032, 4)], [*range(6000, 6032, 4)]
    named = {"frames": [f"002-003_{n}" for n in other], "frame_numbers": other}
    asked = row(question="Is there a polyp?", answer="Yes.")
    write(data / "train.jsonl", row(), asked, row(**named), row(first=gone[0]), row(first=odd[0]))
    draw(data, "002-003", [*range(3800, 3840), *gone[:5], *odd])  # more than is asked about, and less
    draw(data, "002-003", odd[-1:], size=80)
    clips, rejected = cut(data, out)
    assert [(one.id, one.n_frames, one.method, one.width, one.height) for one in clips] == [
        ("002-003_3806.00_3834.00", 8, "frames", 64, 48),
        ("002-003_3806.00_3834.00_2", 8, "frames", 64, 48),
    ]
    assert sorted((one.reason, one.stage) for one in rejected) == [("media_missing", "cut"), ("size_changes", "cut")]
    runs = {one.id: read_frames(out / "clips" / one.path, range(8))[:, 20, 20].mean(axis=1) for one in clips}
    wanted = {"002-003_3806.00_3834.00": [*range(3806, 3838, 4)], "002-003_3806.00_3834.00_2": other}
    for name, numbers in wanted.items():
        assert runs[name] == pytest.approx([number % 250 for number in numbers], abs=1), name
    for one in clips:  # the images' own pictures, to the bit, and nothing that they tell beside
        folder = data / "videos/002-003_frames"
        single = [read_frames(folder / f"002-003_{number}.jpg", [0])[0] for number in wanted[one.id]]
        assert (read_frames(out / "clips" / one.path, range(8)) == np.stack(single)).all()
        assert b"PATIENT" not in (out / "clips" / one.path).read_bytes()
    assert cut(data, tmp_path / "again")[0] == clips

    call(ingest, "--adapter", "real_colon_vqa", "--root", data, "--videos", data / "videos",
         "--clips", out / "clips.jsonl", "--max-rejected", 0.7, "--output", out / "samples.jsonl")  # fmt: skip
    samples = records.read(out / "samples.jsonl", Sample)
    assert {one.clip: len(one.turns) for one in samples} == dict(zip(wanted, (2, 1), strict=True))
    call(cache_frames, "--clips", out / "clips.jsonl", "--clips-dir", out / "clips", "--frames", 8, "--size", 48, 64,
         "--output", out / "cache.jsonl", "--array", out / "cache.npy")  # fmt: skip
    cached = FrameCache([out / "cache.jsonl"])
    for name, values in runs.items():
        assert cached.frames(name)[:, 20, 20].mean(axis=1) == pytest.approx(values, abs=1)
