"""Caching that is killed in the middle."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

from support import SCRIPTS, run_script
from toy_clips import cache_arguments, make_toy


def contents(folder: Path) -> dict[str, bytes]:
    return {p.name: p.read_bytes() for p in sorted(folder.iterdir())}


def test_a_killed_run_started_again_leaves_what_an_undisturbed_one_does(tmp_path: Path) -> None:
    toy = make_toy(tmp_path / "toy", clips=24, frames=40)
    out, undisturbed = tmp_path / "killed", tmp_path / "undisturbed"
    command = [sys.executable, str(SCRIPTS / "cache_frames.py"), *map(str, cache_arguments(toy, out))]
    with subprocess.Popen(command, stderr=subprocess.DEVNULL, stdout=subprocess.DEVNULL) as process:
        until = time.monotonic() + 60
        # Half-way: the array that is being written holds some clips, not all.
        while not any(p.stat().st_size > 128 for p in out.glob(".shard-0.npy.tmp-*.npy")):
            assert process.poll() is None, "the run ended before it could be killed"
            assert time.monotonic() < until
            time.sleep(0.001)
        os.kill(process.pid, signal.SIGKILL)
    assert process.returncode == -signal.SIGKILL
    left = [p.name for p in out.iterdir()]
    assert len(left) == 1, left
    assert left[0].startswith(".shard-0.npy.tmp-")
    run_script("cache_frames", *cache_arguments(toy, out))
    run_script("cache_frames", *cache_arguments(toy, undisturbed))
    assert sorted(contents(undisturbed)) == ["rejected.jsonl", "shard-0.jsonl", "shard-0.npy"]
    assert contents(out) == contents(undisturbed)


def test_a_cache_made_again_replaces_the_old_one(tmp_path: Path) -> None:
    out = tmp_path / "out"
    run_script("cache_frames", *cache_arguments(make_toy(tmp_path / "old", clips=3, seed=1), out))
    toy = make_toy(tmp_path / "new", clips=2, seed=2)
    run_script("cache_frames", *cache_arguments(toy, out))
    run_script("cache_frames", *cache_arguments(toy, tmp_path / "fresh"))
    assert contents(out) == contents(tmp_path / "fresh")
