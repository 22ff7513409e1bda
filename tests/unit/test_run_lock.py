"""One snakemake for a run: who holds it, who is gone, and what Snakemake's own lock left behind."""

from __future__ import annotations

import fcntl
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from support import SCRIPTS
from suture import run_lock
from suture.errors import SutureError

HOLD = (
    "import sys; sys.path.insert(0, sys.argv[1])\n"
    "from pathlib import Path\n"
    "from suture import run_lock\n"
    "run_lock.take('demo', queue_name='suture-demo', folder=Path(sys.argv[2]))\n"
    "print('held', flush=True); sys.stdin.read()\n"
)


def holder(folder: Path) -> subprocess.Popen[str]:
    command = [sys.executable, "-c", HOLD, str(SCRIPTS), str(folder)]
    process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None and process.stdout.readline() == "held\n"
    return process


def test_a_second_one_is_refused_and_told_who_has_it_and_another_run_is_not(tmp_path: Path) -> None:
    first = holder(tmp_path)
    try:
        with pytest.raises(SutureError, match=rf"run demo is being made .*: process {first.pid} on ") as refused:
            run_lock.take("demo", queue_name="", folder=tmp_path)
        assert "Ctrl-C" in str(refused.value)
        assert run_lock.take("other", queue_name="", folder=tmp_path).certain
    finally:
        first.communicate("")


def test_a_holder_that_was_killed_is_gone_and_known_and_one_that_ended_left_nothing(tmp_path: Path) -> None:
    killed = holder(tmp_path)
    killed.send_signal(signal.SIGKILL)
    killed.wait()
    taken = run_lock.take("demo", queue_name="x", folder=tmp_path)
    assert taken.before is not None and (taken.before.pid, taken.before.queue_name) == (killed.pid, "suture-demo")
    assert taken.certain and taken.me.queue_name == "x"
    ended = holder(tmp_path / "elsewhere")
    ended.communicate("")
    assert run_lock.take("demo", queue_name="x", folder=tmp_path / "elsewhere").before is None


def test_where_the_file_system_knows_no_locks_nothing_is_certain(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def unknown(*_: object) -> None:
        raise OSError(95, "Operation not supported")

    monkeypatch.setattr(fcntl, "flock", unknown)
    taken = run_lock.take("demo", queue_name="", folder=tmp_path)
    assert not taken.certain and taken.before is None


def test_of_snakemake_s_own_lock_only_this_run_s_files_go(tmp_path: Path) -> None:
    files = {
        "0.input.lock": "data/a.csv\nresults/demo/x\nresults/demo/y\nresults/other/model",
        "0.output.lock": "results/demo/y\nresults/demo/z",
        "1.input.lock": "results/other/x\nresults/other/y\nresults/demo/model",
        "1.output.lock": "results/other/z",
    }
    for name, text in files.items():
        (tmp_path / name).write_text(text + "\n")
    assert run_lock.forget_snakemakes_own("demo", tmp_path) == 2
    assert sorted(path.name for path in tmp_path.iterdir()) == ["1.input.lock", "1.output.lock"]
