"""A video's revision moves when its content does, and only then."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from suture import files
from suture.media import MediaIndex


@pytest.fixture
def video(tmp_path: Path) -> Path:
    path = tmp_path / "case_1.mp4"
    path.write_bytes(b"first")
    return path


def later(path: Path) -> None:
    stat = path.stat()
    os.utime(path, ns=(stat.st_atime_ns, stat.st_mtime_ns + 10**9))


def revision(tmp_path: Path, video: Path, sha: str | None, *, update: bool = True) -> int:
    """The revision as a run of its own sees it."""
    index = MediaIndex(tmp_path / "index.json", update=update)
    number = index.revision(video, lambda: sha)
    index.save()
    return number


def test_a_touched_video_keeps_its_revision(tmp_path: Path, video: Path) -> None:
    sha = files.sha256_file(video)
    assert revision(tmp_path, video, None) == 0
    later(video)
    assert revision(tmp_path, video, sha) == 0
    assert revision(tmp_path, video, "never asked: size and mtime are as recorded") == 0


def test_new_content_of_equal_size_is_a_new_revision(tmp_path: Path, video: Path) -> None:
    sha = files.sha256_file(video)
    revision(tmp_path, video, None)
    video.write_bytes(b"FIRST")
    later(video)
    assert revision(tmp_path, video, sha) == 1
    assert revision(tmp_path, video, sha) == 1, "the same content is not new twice"


def test_another_size_is_a_new_revision_without_reading_the_file(tmp_path: Path, video: Path) -> None:
    revision(tmp_path, video, None)
    video.write_bytes(b"longer than before")
    assert revision(tmp_path, video, None) == 1


def test_a_job_on_a_cluster_sees_the_main_process_numbers(tmp_path: Path, video: Path) -> None:
    revision(tmp_path, video, None)
    video.write_bytes(b"longer than before")
    assert revision(tmp_path, video, None, update=False) == 0
    assert revision(tmp_path, video, None) == 1
    assert revision(tmp_path, video, None, update=False) == 1


def test_a_missing_video_is_revision_0(tmp_path: Path) -> None:
    assert revision(tmp_path, tmp_path / "none.mp4", None) == 0


def test_a_touch_seen_by_a_run_that_never_used_the_video_is_no_change_for_the_one_that_did(
    tmp_path: Path, video: Path
) -> None:
    sha = files.sha256_file(video)
    revision(tmp_path, video, None)
    later(video)
    assert revision(tmp_path, video, None) == 0, "the other run has recorded nothing to compare with"
    assert revision(tmp_path, video, sha) == 0
