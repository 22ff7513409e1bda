"""Only snakemake itself is killed: what it started lives on, and the next start deals with it, without --unlock."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

from support import clone, snakemake
from suture import orphans

CONFIG = ["--configfile", "tests/dag/tiny.yaml"]
TARGET = "results/tiny/manifests/clips/case_9101.jsonl"


def test_a_start_after_the_kill_ends_what_lives_on_and_makes_the_rest(tmp_path: Path) -> None:
    where = clone(tmp_path)
    process = subprocess.Popen(
        [sys.executable, "-m", "snakemake", TARGET, *CONFIG],
        cwd=where,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    )
    left: list[int] = []
    try:
        until = time.monotonic() + 300
        while not left:
            assert process.poll() is None and time.monotonic() < until
            # What it runs carries its mark. All of it is stopped, so that it cannot end by itself.
            tokens = {one.split(b"=", 1)[1].decode() for one in _marks(process.pid)}
            left = [pid for token in tokens for pid in orphans.processes(token) if pid != process.pid]
            time.sleep(0.02)
        os.killpg(process.pid, signal.SIGSTOP)
        process.kill()
        process.wait()
        printed = snakemake(where, TARGET, *CONFIG)
    finally:
        process.kill()
    assert "processes of a snakemake that was killed are at work here (" in printed
    assert "Directory cannot be locked" not in printed and (where / TARGET).is_file()
    assert "Nothing to be done" in snakemake(where, "-n", TARGET, *CONFIG)


def _marks(parent: int) -> list[bytes]:
    found = []
    for path in Path("/proc").glob("[0-9]*"):
        try:
            if os.getpgid(int(path.name)) == parent:
                environ = (path / "environ").read_bytes().split(b"\0")
                found += [one for one in environ if one.startswith(orphans.MARK.encode())]
        except (OSError, ProcessLookupError):
            continue
    return found
