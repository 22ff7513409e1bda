"""REAL-Colon-VQA's JSON Lines: ids that repeat, lines that cannot be read, a test video that is never trained on."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

import ingest
from support import call
from suture import records, registry
from suture.datasets.base import never_trained
from suture.errors import InputError
from suture.records import Rejection, Sample


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
