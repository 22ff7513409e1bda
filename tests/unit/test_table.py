"""The table adapter: anyone's own CSV."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import pytest

from suture.datasets import table as adapter
from suture.errors import InputError
from suture.records import Turn

HEADER = "case,media,start,end,label,question,answer"


def csv_file(folder: Path, *rows: str, header: str = HEADER, name: str = "my.csv") -> Path:
    path = folder / name
    path.write_text("\n".join([header, *rows]) + "\n", encoding="utf-8")
    return path


def test_rows_about_one_stretch_become_one_whole_segment_with_its_turns(tmp_path: Path) -> None:
    root = csv_file(
        tmp_path,
        "p1,a.mp4,0,4.5,Incision,Which phase?,Incision",
        "p1,a.mp4,4.5,9,Suture,Which phase?,Suture",
        "p1,a.mp4,0,4.5,,Is there blood?,no",
        "p2,scan.png,,,,What is it?,A scan",
        "p2,b.mp4,,,Idle,,",
    )
    assert adapter.case_ids(root) == ["p1", "p2"]
    first, second = adapter.read_case(root, "p1").segments
    assert (first.label, first.media, first.start_s, first.end_s, first.whole, first.row) == (
        "Incision",
        "a.mp4",
        0.0,
        4.5,
        True,
        2,
    )
    assert first.turns == (
        Turn(question="Which phase?", answer="Incision", kind="question"),
        Turn(question="Is there blood?", answer="no", kind="question"),
    )
    assert (second.start_s, second.end_s) == (4.5, 9.0)
    film, scan = adapter.read_case(root, "p2").segments
    assert (film.label, film.end_s, film.turns) == ("Idle", None, ())
    assert (scan.label, scan.published, scan.end_s) == ("Unlabelled", "", None)


@pytest.mark.parametrize("separator", [";", "\t"])
def test_spreadsheet_exports_are_read(tmp_path: Path, separator: str) -> None:
    lines = [
        "Answer,Patient ID,Video,Start_S,END,_my note,,Question Type,question",
        "yes,p1,a\\b.mp4,1.5,2,x,0,blood,Any?",
    ]
    root = tmp_path / "my.csv"
    root.write_bytes(b"\xef\xbb\xbf" + "".join(f"{line.replace(',', separator)}\r\n" for line in lines).encode())
    (segment,) = adapter.read_case(root, "p1").segments
    assert (segment.media, segment.start_s, segment.end_s) == ("a/b.mp4", 1.5, 2.0)
    assert segment.turns == (Turn(question="Any?", answer="yes", kind="blood"),)


def test_quoted_commas_and_line_breaks_stay_in_their_cell(tmp_path: Path) -> None:
    root = csv_file(tmp_path, 'p1,a.mp4,0,1,"Cut, deep","Which?","Cut,\ndeep"', "p1,a.mp4,1,2,Rest,Which?,Rest")
    first, second = adapter.read_case(root, "p1").segments
    assert (first.label, first.turns[0].answer) == ("Cut, deep", "Cut,\ndeep")
    assert second.row == 4


def test_a_folder_of_tables_is_one_table(tmp_path: Path) -> None:
    one = csv_file(tmp_path, "p1,a.mp4,0,1,x,,", name="one.csv")
    two = csv_file(tmp_path, "p1,a.mp4,1,2,y,,", "p2,b.mp4,0,1,x,,", name="two.CSV")
    assert adapter.case_ids(tmp_path) == ["p1", "p2"]
    assert adapter.case_files(tmp_path, "p1") == [one, two]
    assert adapter.case_files(tmp_path, "p2") == [two]
    with pytest.raises(InputError, match="no row of case 'p3'"):
        adapter.read_case(tmp_path, "p3")


def test_an_edited_table_is_read_again(tmp_path: Path) -> None:
    root = csv_file(tmp_path, "p1,a.mp4,0,1,x,,")
    assert adapter.case_ids(root) == ["p1"]
    csv_file(tmp_path, "p1,a.mp4,0,1,x,,", "p2,b.mp4,0,1,x,,")
    assert adapter.case_ids(root) == ["p1", "p2"]


def test_media_are_those_that_exist_under_the_videos_root(tmp_path: Path) -> None:
    root = csv_file(tmp_path, "p1,day1/b.mp4,0,1,x,,", "p1,./a.mp4,0,1,x,,", "p1,gone.mp4,0,1,x,,", "p2,c.mp4,0,1,x,,")
    videos = tmp_path / "videos"
    (videos / "day1").mkdir(parents=True)
    for name in ("day1/b.mp4", "a.mp4", "c.mp4"):
        (videos / name).touch()
    assert adapter.case_media(root, videos, "p1") == [videos / "a.mp4", videos / "day1/b.mp4"]
    assert {s.media for s in adapter.read_case(root, "p1").segments} == {"a.mp4", "day1/b.mp4", "gone.mp4"}


@pytest.mark.parametrize(
    ("row", "reason"),
    [
        ("p1,a.mp4,5,4,x,q,a", "reversed_segment"),
        ("p1,a.mp4,5,5,x,q,a", "zero_length_segment"),
        ("p1,a.mp4,0,0,x,q,a", "zero_length_segment"),
        ("p1,a.mp4,-1,4,x,q,a", "negative_time"),
        ("p1,a.mp4,early,4,x,q,a", "not_a_time"),
        ("p1,a.mp4,1,nan,x,q,a", "not_a_time"),
        ("p1,a.mp4,1,,x,q,a", "missing_end"),
        ("p1,,1,2,x,q,a", "missing_media"),
        ("p1,a.mp4,1,2,x,q,", "missing_answer"),
        ("p1,a.mp4,1,2,x,,a", "missing_question"),
        ("p1,a.mp4,1,2,x,q,yes, it is", "surplus_cells"),
        ("p1,a.mp4,0,1,y,q,a", "conflicting_label"),
        ("p1,a.mp4,0,1,x,Which?,y", "conflicting_answer"),
        ("p1,a.mp4,0,1,x,Which?,x", "duplicate_row"),
        ("p1,a.mp4,0,1,,,", "duplicate_row"),
    ],
)
def test_a_row_that_cannot_be_used_is_a_counted_rejection(tmp_path: Path, row: str, reason: str) -> None:
    root = csv_file(tmp_path, "p1,a.mp4,0,1,x,Which?,x", row, "p1,a.mp4,7,8,x,Which?,x")
    case = adapter.read_case(root, "p1")
    assert [(s.start_s, len(s.turns)) for s in case.segments] == [(0, 1), (7, 1)]
    assert Counter(one.reason for one in case.rejected) == {reason: 1}
    assert case.rejected[0].where == "my.csv:3"
    assert case.rejected[0].detail.startswith("my.csv:3: ")


@pytest.mark.parametrize(
    ("header", "message"),
    [
        ("case,start,end", "column 'media' is missing; found 'case', 'start', 'end'"),
        ("case,media,quesiton", "unknown column 'quesiton'; did you mean 'question'"),
        ("case,media,age", "unknown column 'age'"),
        ("case,media,video", "columns 'media' and 'video' are both 'media'"),
    ],
)
def test_a_wrong_header_is_an_error_with_the_way_out(tmp_path: Path, header: str, message: str) -> None:
    root = csv_file(tmp_path, "p1,a.mp4,1", header=header)
    with pytest.raises(InputError, match=message) as caught:
        adapter.case_ids(root)
    assert caught.value.where == f"{root}:1"


@pytest.mark.parametrize(
    ("row", "message", "fix"),
    [
        ("Mr. Smith/1,a.mp4", "case id 'Mr. Smith/1' cannot be a file name", "'Mr._Smith_1'"),
        ("../p,a.mp4", "case id '../p' cannot be a file name", "'p'"),
        (",a.mp4", "no case id", "patient_01"),
        ("p2,../secret.mp4", "leads out of the videos folder", "--videos"),
        ("p2,x/../../a.mp4", "leads out of the videos folder", "--videos"),
        ("p2,/data/a.mp4", "leads out of the videos folder", "--videos"),
        ("p2,C:\\data\\a.mp4", "leads out of the videos folder", "--videos"),
        ("p2,a.mp4", "media 'a.mp4' is of case 'p2' here and of 'p1' at my.csv:2", "one case"),
    ],
)
def test_unsafe_names_and_shared_media_are_errors_that_name_the_row(
    tmp_path: Path, row: str, message: str, fix: str
) -> None:
    root = csv_file(tmp_path, "p1,a.mp4", row, header="case,media")
    with pytest.raises(InputError) as caught:
        adapter.case_ids(root)
    assert message in caught.value.problem
    assert caught.value.where == f"{root}:3"
    assert fix in str(caught.value.fix)


def test_nothing_to_read_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="no table found"):
        adapter.case_ids(tmp_path)
    with pytest.raises(InputError, match="no rows below the header"):
        adapter.case_ids(csv_file(tmp_path))


def test_the_example_of_the_tutorial_works(tmp_path: Path) -> None:
    text = (Path(__file__).parents[2] / "docs" / "table.md").read_text()
    example = text.split("```csv\n", 1)[1].split("```", 1)[0]
    root = tmp_path / "my.csv"
    root.write_text(example)
    cases = [adapter.read_case(root, case) for case in adapter.case_ids(root)]
    assert sum(len(segment.turns) for case in cases for segment in case.segments) == 4
    assert [one for case in cases for one in case.rejected] == []


def test_the_line_by_which_excel_names_the_separator_is_read(tmp_path: Path) -> None:
    root = tmp_path / "my.csv"
    for first in ("sep=;", '"sep=;"', "sep=;;;;"):
        root.write_text(f"{first}\ncase;media;start;end;label\np1;a.mp4;0;1,5;Cut, deep\np1;;0;1;x\n")
        case = adapter.read_case(root, "p1")
        assert [(s.label, s.end_s, s.row) for s in case.segments] == [("Cut, deep", 1.5, 3)]
        assert [one.where for one in case.rejected] == ["my.csv:4"]
    root.write_text("sep=;\ncase;label\n")
    with pytest.raises(InputError, match="column 'media' is missing") as caught:
        adapter.case_ids(root)
    assert caught.value.where == f"{root}:2"
    root.write_text("sep=;\n")
    with pytest.raises(InputError, match="no header line"):
        adapter.case_ids(root)


def test_two_cases_whose_clips_would_have_the_same_names_are_refused(tmp_path: Path) -> None:
    root = csv_file(tmp_path, "a.b,x.mp4", "a_b,y.mp4", header="case,media")
    with pytest.raises(InputError, match=r"cases 'a\.b' \(at my\.csv:2\) and 'a_b'") as caught:
        adapter.case_ids(root)
    assert caught.value.where == f"{root}:3"
