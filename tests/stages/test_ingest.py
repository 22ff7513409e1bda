"""ingest.py: the publisher's own questions become samples, with or without media."""

from __future__ import annotations

from pathlib import Path

import pytest

import ingest
from support import run_script
from suture import files, records
from suture.datasets import table
from suture.errors import InputError
from suture.records import Case, Rejection, Sample, Turn
from video_files import make_video

TABLE = """\
case,media,start,end,label,question,answer,kind
p2,b.mp4,,,Suture,Which phase?,Suture,phase
p1,a.mp4,0,4.5,Incision,Which phase?,Incision,phase
p1,a.mp4,0,4.5,,Is there blood?,no,
p1,a.mp4,9,4.5,,Is there blood?,no,
p1,gone.mp4,0,2,Suture,Which phase?,Suture,phase
p3,c.mp4,0,2,Suture,,,
"""
OUTPUTS = ("clips", "objects", "samples", "qa", "rejected")


@pytest.fixture
def root(tmp_path: Path) -> Path:
    path = tmp_path / "my.csv"
    path.write_text(TABLE)
    return path


def test_samples_hold_the_questions_and_say_where_they_come_from(root: Path, tmp_path: Path) -> None:
    said = run_script(
        *("ingest", "--adapter", "table", "--root", root, "--without-media"),
        *("--output", tmp_path / "s.jsonl", "--rejected", tmp_path / "r.jsonl"),
    )
    assert "3 samples with 4 questions from 3 cases; left out: reversed_segment 1" in said
    samples = records.read(tmp_path / "s.jsonl", Sample)
    assert [(one.id, one.clip, one.case, one.phase, one.origin) for one in samples] == [
        ("p1_Incision_0.00_4.50", "p1_Incision_0.00_4.50", "p1", "Incision", "annotation"),
        ("p1_Suture_0.00_2.00", "p1_Suture_0.00_2.00", "p1", "Suture", "annotation"),
        ("p2_Suture_b", "p2_Suture_b", "p2", "Suture", "annotation"),
    ]
    assert samples[0].turns == (
        Turn(question="Which phase?", answer="Incision", kind="phase"),
        Turn(question="Is there blood?", answer="no", kind="question"),
    )
    (row,) = records.read(tmp_path / "r.jsonl", Rejection)
    assert (row.reason, row.case, row.where) == ("reversed_segment", "p1", "my.csv:5")


def test_videos_are_cut_and_their_questions_gathered(root: Path, tmp_path: Path) -> None:
    for name in ("a.mp4", "b.mp4", "c.mp4"):
        make_video(tmp_path / "videos" / name, seconds=5, seed=ord(name[0]))
    table = ("--adapter", "table", "--root", root)
    run_script("ingest", *table, "--without-media", "--output", tmp_path / "all.jsonl")
    wanted = [line for line in (tmp_path / "all.jsonl").read_text().splitlines() if "p1_Suture" not in line]

    said = run_script("ingest", *table, "--videos", tmp_path / "videos", "--output", tmp_path / "videos.jsonl")
    assert "media_missing 1" in said
    assert (tmp_path / "videos.jsonl").read_text().splitlines() == wanted

    run_script(
        *("cut_videos", "--adapter", "table", "--annotations", root, "--videos", tmp_path / "videos"),
        *(
            "--clips-dir",
            tmp_path / "clips",
            "--output",
            tmp_path / "c.jsonl",
            "--rejected",
            tmp_path / "c.rejected.jsonl",
        ),
    )
    said = run_script(
        *("ingest", *table, "--clips", tmp_path / "c.jsonl"),
        *("--output", tmp_path / "s.jsonl", "--rejected", tmp_path / "s.rejected.jsonl"),
    )
    assert "clip_missing 1" in said
    assert (tmp_path / "s.jsonl").read_text().splitlines() == wanted

    arguments = (
        *("gather_data", "--clips", tmp_path / "c.jsonl", "--objects", "--samples", tmp_path / "s.jsonl"),
        *("--rejected", tmp_path / "c.rejected.jsonl", tmp_path / "s.rejected.jsonl"),
        *(word for name in OUTPUTS for word in (f"--output-{name}", tmp_path / "run" / name)),
    )
    said = run_script(*arguments, code=2)
    assert "1 of 4 media files cannot be used (25.0%, the cap is 10.0%): media_missing 1" in said
    run_script(*arguments, "--max-rejected", "0.5")
    # The row that annotation, cutting and ingest all told of is counted once.
    assert files.read_json(tmp_path / "run" / "rejected")["counts"] == {
        "annotations": {"reversed_segment": 1},
        "cut": {"media_missing": 1},
        "ingest": {"clip_missing": 1},
    }
    assert [entry[0]["video_filename"] for entry in files.read_json(tmp_path / "run" / "qa")] == [
        "p1_Incision_0.00_4.50.mp4",
        "p2_Suture_b.mp4",
    ]


def test_no_samples_is_an_error_that_says_why(root: Path, tmp_path: Path) -> None:
    arguments = ("ingest", "--adapter", "table", "--root", root, "--cases", "p3", "--output", tmp_path / "s.jsonl")
    said = run_script(*arguments, "--without-media", code=2)
    assert "no samples: 1 cases with 1 labelled stretches, none with a usable question" in said
    assert "generate_qa.py" in said
    assert not (tmp_path / "s.jsonl").exists()
    run_script(*arguments, "--without-media", "--allow-empty")
    assert (tmp_path / "s.jsonl").read_text() == ""


def test_the_cap_on_rows_left_out_stops_with_the_first_of_them(root: Path, tmp_path: Path) -> None:
    arguments = ("ingest", "--adapter", "table", "--root", root, "--without-media", "--output", tmp_path / "s.jsonl")
    said = run_script(*arguments, "--max-rejected", "0.2", code=2)
    assert "1 rows cannot be used beside 3 samples" in said
    assert "my.csv:5: end 4.5 s is before start 9 s" in said
    run_script(*arguments, "--max_rejected", "0.25")
    assert "'2' is not a share" in run_script(*arguments, "--max-rejected", "2", code=2)


def test_a_case_that_cannot_be_read_costs_itself_alone(
    root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    read = table.read_case

    def broken(where: Path, case: str) -> Case:
        if case == "p2":
            raise InputError("unknown label 'Sutur'", where=f"{where}:2", fix="write 'Suture'")
        return read(where, case)

    monkeypatch.setattr(table, "read_case", broken)
    out, left = tmp_path / "s.jsonl", tmp_path / "r.jsonl"
    words = ["--adapter", "table", "--root", root, "--without-media", "--output", out, "--rejected", left]
    ingest.main(ingest.parser().parse_args(list(map(str, words))))
    assert {one.case for one in records.read(out, Sample)} == {"p1"}
    (line,) = [line for line in capsys.readouterr().err.splitlines() if "p2" in line]
    assert line.strip() == f"ingest: p2 is left out: unknown label 'Sutur' ({root}:2); write 'Suture'"
    found = [one for one in records.read(left, Rejection) if one.case == "p2"]
    assert [(one.reason, one.where) for one in found] == [("annotation_unreadable", "my.csv:2")]
