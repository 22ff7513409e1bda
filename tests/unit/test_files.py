"""Nothing is half-written, and paths from annotation files stay under their root."""

from __future__ import annotations

from pathlib import Path

import pytest

from suture import files
from suture.errors import InputError


def test_a_failed_write_leaves_the_old_file_and_nothing_else(tmp_path: Path) -> None:
    target = tmp_path / "a.json"
    files.write_json(target, {"old": 1})
    (tmp_path / ".a.json.tmp-1.json").write_text("left by a killed run")
    with pytest.raises(ValueError), files.atomic_path(target) as temporary:
        temporary.write_text("half")
        raise ValueError
    assert files.read_json(target) == {"old": 1}
    assert list(tmp_path.iterdir()) == [target]


def test_a_folder_is_replaced_as_a_whole_and_leftovers_are_removed(tmp_path: Path) -> None:
    target = tmp_path / "clips"
    target.mkdir()
    (target / "old").touch()
    (tmp_path / ".clips.tmp-1").mkdir()
    with files.atomic_dir(target) as temporary:
        (temporary / "new").touch()
    assert [path.name for path in target.iterdir()] == ["new"]
    assert list(tmp_path.iterdir()) == [target]


def test_bom_and_crlf_are_normal_input(tmp_path: Path) -> None:
    path = tmp_path / "rows.jsonl"
    path.write_bytes(b'\xef\xbb\xbf{"a": 1}\r\n\r\n{"a": 2}\r\n')
    assert files.read_jsonl(path) == [{"a": 1}, {"a": 2}]


def test_a_bad_line_is_named(tmp_path: Path) -> None:
    path = tmp_path / "rows.jsonl"
    path.write_text('{"a": 1}\n{"a": \n')
    with pytest.raises(InputError, match=r"rows.jsonl:2"):
        files.read_jsonl(path)


@pytest.mark.parametrize("name", ["/etc/passwd", "../outside.mp4", "a/../../outside.mp4"])
def test_a_path_that_leaves_its_root_is_refused(tmp_path: Path, name: str) -> None:
    with pytest.raises(InputError, match="leads out of"):
        files.inside(tmp_path, name)


def test_a_path_below_its_root_is_joined(tmp_path: Path) -> None:
    assert files.inside(tmp_path, "a/../b/c.mp4") == tmp_path / "b" / "c.mp4"


@pytest.mark.parametrize("other", ["P1.2", "P1.tmp-4", "P1-2", "P"])
def test_what_another_target_is_writing_is_left_alone(tmp_path: Path, other: str) -> None:
    with files.atomic_dir(tmp_path / other) as theirs, files.atomic_path(tmp_path / f"{other}.json") as their_file:
        their_file.write_text("half")
        with files.atomic_dir(tmp_path / "P1") as mine:
            (mine / "clip").touch()
        files.write_text(tmp_path / "P1.json", "mine")
        assert theirs.is_dir()
        assert their_file.suffix == ".json"
    assert sorted(path.name for path in tmp_path.iterdir()) == sorted(["P1", "P1.json", other, f"{other}.json"])


def test_a_folder_in_place_of_a_file_is_bad_input(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="cannot be read as a file: Is a directory") as caught:
        files.read_json(tmp_path)
    assert caught.value.where == str(tmp_path)
