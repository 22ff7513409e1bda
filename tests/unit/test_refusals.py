"""What the attempts after a refusal do."""

from __future__ import annotations

from pathlib import Path

import pytest

from suture.errors import InputError, SutureError
from suture.refusals import remembered


def refuse(work: Path, attempt: int) -> None:
    with remembered(work, attempt):
        raise InputError("the split is empty", fix="give more cases")


def test_the_attempt_after_a_refusal_is_not_made_and_says_why(tmp_path: Path) -> None:
    with pytest.raises(InputError):
        refuse(tmp_path / "work", 1)
    with pytest.raises(SutureError) as again, remembered(tmp_path / "work", 2):
        pytest.fail("the second attempt was made")
    assert "the split is empty\n  fix:   give more cases" in str(again.value)
    assert "attempt 2 was not made" in str(again.value)


def test_a_new_run_tries_again(tmp_path: Path) -> None:
    with pytest.raises(InputError):
        refuse(tmp_path, 1)
    done = []
    with remembered(tmp_path, 1):
        done.append(1)
    with remembered(tmp_path, 2):
        done.append(2)
    assert done == [1, 2]


def test_another_failure_may_be_cured_by_a_retry(tmp_path: Path) -> None:
    with pytest.raises(OSError, match="disk"), remembered(tmp_path, 1):
        raise OSError("the disk is gone")
    with remembered(tmp_path, 2):
        pass


def test_where_all_attempts_are_made_on_one_machine_a_crash_is_not_repeated(tmp_path: Path) -> None:
    with pytest.raises(ZeroDivisionError), remembered(tmp_path, 1, crashes=True):
        print(1 / 0)
    with pytest.raises(SutureError, match="ZeroDivisionError: division by zero"), remembered(tmp_path, 2, crashes=True):
        pytest.fail("the second attempt was made")
