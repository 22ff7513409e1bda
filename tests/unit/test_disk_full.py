"""A full disk: one clear error with the file's name, and nothing half-written."""

from __future__ import annotations

import errno
import resource
import subprocess
import sys
from pathlib import Path

import pytest

from support import SCRIPTS
from suture import files
from suture.disk_full import DiskFull, named
from suture.refusals import NOTE, remembered
from suture.training import checkpoint


def limited() -> None:
    """What a quota does, without one: files of this process may hold 20 kB."""
    resource.setrlimit(resource.RLIMIT_FSIZE, (20_000, 20_000))


def test_a_disk_that_is_really_full_is_named_with_the_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """/dev/full takes the place of the temporary file: the kernel itself says that there is no space."""
    (tmp_path / "link").symlink_to("/dev/full")
    target = tmp_path / "rows.jsonl"
    target.write_text("old\n")
    monkeypatch.setattr(files, "_temporary", lambda path: tmp_path / "link")
    with pytest.raises(DiskFull, match=r"no room left to write rows\.jsonl \(No space left on device\)") as full:
        files.write_text(target, "new" * 100_000)
    assert str(target) in str(full.value) and "start again: what is done stays done" in str(full.value)
    assert [path.name for path in tmp_path.iterdir()] == ["rows.jsonl"] and target.read_text() == "old\n"


def test_a_command_that_runs_into_it_says_so_in_three_lines_and_leaves_nothing(tmp_path: Path) -> None:
    program = (
        "import sys; sys.path.insert(0, sys.argv[1])\n"
        "from pathlib import Path\n"
        "from suture import cli, files\n"
        "def main(args):\n"
        "    with files.atomic_dir(Path('clips')) as made:\n"
        "        (made / 'small').write_text('it fits')\n"
        "        (made / 'large').write_bytes(bytes(100_000))\n"
        "sys.argv[1:] = []\n"
        "cli.run(main, cli.Parser('none'))\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", program, str(SCRIPTS)], cwd=tmp_path, preexec_fn=limited, capture_output=True, text=True
    )
    assert done.returncode == 2 and "Traceback" not in done.stderr
    assert "no room left to write clips (File too large)" in done.stderr and len(done.stderr.splitlines()) == 3
    assert list(tmp_path.iterdir()) == []


def test_libraries_that_word_it_otherwise_are_understood_and_other_errors_pass(tmp_path: Path) -> None:
    with pytest.raises(DiskFull, match=r"Disk quota exceeded"), named(tmp_path):
        raise OSError(errno.EDQUOT, "Disk quota exceeded")
    with pytest.raises(DiskFull, match=r"No space left on device"), named(tmp_path):
        raise RuntimeError("Error while serializing: I/O error: No space left on device (os error 28)")
    with pytest.raises(FileNotFoundError), named(tmp_path):
        (tmp_path / "gone").read_text()


def test_the_checkpoint_that_met_it_is_removed_and_the_one_before_stays(tmp_path: Path) -> None:
    for step in (10, 20):
        (tmp_path / f"checkpoint-{step}").mkdir()
    checkpoint.mark_complete(tmp_path / "checkpoint-10", {})
    with pytest.raises(DiskFull), checkpoint.written_whole(tmp_path):
        raise OSError(errno.ENOSPC, "No space left on device")
    assert [path.name for path in tmp_path.iterdir()] == ["checkpoint-10"]


def test_no_attempt_is_made_after_it_and_where_even_that_cannot_be_noted_the_error_is_seen(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def full(work: Path) -> None:
        with remembered(work, 1), named(work / "model"):
            raise OSError(errno.ENOSPC, "No space left on device")

    with pytest.raises(DiskFull):
        full(tmp_path)
    assert "no room left to write model" in (tmp_path / NOTE).read_text()
    (tmp_path / "link").symlink_to("/dev/full")
    monkeypatch.setattr(files, "_temporary", lambda path: tmp_path / "link")
    with pytest.raises(DiskFull, match="write model"):
        full(tmp_path)
    assert "not remembered" in capsys.readouterr().err
