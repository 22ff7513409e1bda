"""The code digest decides what an edit of the library reruns."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from support import SCRIPTS
from suture import digest


@pytest.fixture
def scripts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A copy of workflow/scripts that may be edited."""
    shutil.copytree(SCRIPTS, tmp_path / "scripts", ignore=shutil.ignore_patterns("__pycache__"))
    monkeypatch.setattr(digest, "SCRIPTS", tmp_path / "scripts")
    return tmp_path / "scripts"


def digest_of(command: str, *modules: str) -> str:
    digest._read.cache_clear()
    digest._ours.cache_clear()
    return digest.code(command, *modules)


def edit(path: Path, old: str, new: str) -> None:
    text = path.read_text()
    assert old in text
    path.write_text(text.replace(old, new, 1))


def test_an_edit_reaches_the_commands_that_import_it_and_no_other(scripts: Path) -> None:
    split, cut = digest_of("split_dataset"), digest_of("cut_videos")
    with (scripts / "suture" / "splitting.py").open("a") as module:
        module.write("\nADDED = 1\n")
    assert digest_of("split_dataset") != split
    assert digest_of("cut_videos") == cut


def test_an_edit_two_imports_away_counts(scripts: Path) -> None:
    before = digest_of("cut_videos")
    edit(scripts / "suture" / "files.py", 'path.open("rb")', 'path.open(mode="rb")')
    assert digest_of("cut_videos") != before


def test_comments_docstrings_and_layout_change_nothing(scripts: Path) -> None:
    before = digest_of("cut_videos")
    path = scripts / "suture" / "files.py"
    edit(path, '"""Returns the hex sha256 of a file\'s bytes."""', '"""Something else."""\n\n    # why not')
    edit(path, "import hashlib\n", "\n\nimport hashlib\n")
    assert digest_of("cut_videos") == before


def test_a_module_found_by_name_is_part_of_the_digest(scripts: Path) -> None:
    before = digest_of("cut_videos", "suture.datasets.table")
    with (scripts / "suture" / "datasets" / "table.py").open("a") as module:
        module.write("\nADDED = 1\n")
    assert digest_of("cut_videos", "suture.datasets.table") != before
    assert digest_of("cut_videos", "suture.datasets.table") != before
