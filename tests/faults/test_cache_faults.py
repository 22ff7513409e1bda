"""Caching that is killed in the middle, and caching whose decoder dies or hangs."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import psutil
import pytest

from support import ROOT, SCRIPTS, run_script
from suture import files, records
from suture.frames import FrameCache
from suture.records import Rejection
from toy_clips import cache_arguments, make_toy


def contents(folder: Path) -> dict[str, bytes]:
    return {p.name: p.read_bytes() for p in sorted(folder.iterdir())}


def until(condition: Callable[[], object], *, seconds: float = 60) -> None:
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, "it did not come to that"
        time.sleep(0.001)


@contextmanager
def half_way(toy: Path, out: Path, *more: object) -> Iterator[subprocess.Popen[str]]:
    """Runs cache_frames and hands it over, stopped, while the array that is being written holds some clips, not all.

    Stopped (SIGSTOP), so that no machine is fast enough to end it first; its decoders wait for it.
    """
    command = [sys.executable, str(SCRIPTS / "cache_frames.py"), *map(str, cache_arguments(toy, out, *more))]
    with subprocess.Popen(command, stderr=subprocess.STDOUT, stdout=subprocess.PIPE, text=True) as process:
        until(lambda: process.poll() is not None or any(p.stat().st_size > 128 for p in out.glob(".shard-0.npy.tmp-*")))
        process.send_signal(signal.SIGSTOP)
        assert process.poll() is None, "the run ended before it could be disturbed"
        try:
            yield process
        finally:
            process.send_signal(signal.SIGCONT)


def decoding_processes(parent: int) -> list[psutil.Process]:
    children = psutil.Process(parent).children(recursive=True)
    return [child for child in children if "spawn_main" in " ".join(child.cmdline())]


def gone(processes: list[psutil.Process]) -> bool:
    return not any(one.is_running() and one.status() != psutil.STATUS_ZOMBIE for one in processes)


@pytest.fixture(scope="module")
def toy(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_toy(tmp_path_factory.mktemp("toy"), clips=24, frames=40)


@pytest.fixture(scope="module")
def undisturbed(toy: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("undisturbed")
    run_script("cache_frames", *cache_arguments(toy, out))
    assert sorted(contents(out)) == ["rejected.jsonl", "shard-0.jsonl", "shard-0.npy"]
    return out


@pytest.mark.parametrize("how", [signal.SIGKILL, signal.SIGTERM])
def test_a_run_that_is_ended_leaves_no_process_and_no_half_output(
    how: signal.Signals, toy: Path, undisturbed: Path, tmp_path: Path
) -> None:
    out = tmp_path / "killed"
    with half_way(toy, out, "--workers", 2) as process:
        family = psutil.Process(process.pid).children(recursive=True)
        assert len(decoding_processes(process.pid)) == 2
        process.send_signal(how)
    assert process.returncode == -how
    until(lambda: gone(family), seconds=10)
    assert [name for name in contents(out) if not name.startswith(".shard-0.npy.tmp-")] == []
    run_script("cache_frames", *cache_arguments(toy, out))
    assert contents(out) == contents(undisturbed)


def test_a_decoder_that_hangs_does_not_outlive_a_killed_run(tmp_path: Path) -> None:
    # It holds the interpreter's lock, so that nothing of ours runs in its process.
    code = (
        "from crashing import hold_the_lock; from suture.video.workers import call_each\n"
        "list(call_each(hold_the_lock, [['']], workers=1, seconds=15))"
    )
    paths = f"{SCRIPTS}{os.pathsep}{ROOT / 'tests'}"
    with subprocess.Popen([sys.executable, "-c", code], env={**os.environ, "PYTHONPATH": paths}) as process:
        until(lambda: decoding_processes(process.pid))
        (worker,) = decoding_processes(process.pid)
        until(lambda: worker.cpu_times().user > 0.8)  # 0.3 of it is its start
        process.kill()
    assert not gone([worker])
    until(lambda: gone([worker]), seconds=60)


@pytest.mark.parametrize(
    ("fault", "reason"), [(signal.SIGABRT, "decoder_crashed"), (signal.SIGSTOP, "decoder_timeout")]
)
def test_a_decoder_that_aborts_or_hangs_costs_one_clip(
    fault: signal.Signals, reason: str, toy: Path, undisturbed: Path, tmp_path: Path
) -> None:
    with half_way(toy, tmp_path, "--workers", 1, "--decoder", "decord", "--seconds-per-clip", 8) as process:
        decoding_processes(process.pid)[0].send_signal(fault)
        process.send_signal(signal.SIGCONT)
        said, _ = process.communicate()
    assert process.returncode == 0, said
    assert "23 clips cached, 1 left out" in said
    (rejection,) = records.read(tmp_path / "rejected.jsonl", Rejection)
    assert rejection.reason == reason
    cache, whole = FrameCache([tmp_path / "shard-0.jsonl"]), FrameCache([undisturbed / "shard-0.jsonl"])
    for row in files.read_jsonl(toy / "clips.jsonl"):
        if row["id"] not in cache.rejected:
            assert (cache.frames(row["id"]) == whole.frames(row["id"])).all()
    assert list(cache.rejected) == [Path(rejection.where).stem]


@pytest.mark.parametrize("fault", [signal.SIGABRT, signal.SIGSTOP])
def test_where_decord_aborts_or_hangs_pyav_reads_the_clip(
    fault: signal.Signals, toy: Path, undisturbed: Path, tmp_path: Path
) -> None:
    with half_way(toy, tmp_path, "--workers", 1, "--seconds-per-clip", 8) as process:
        decoding_processes(process.pid)[0].send_signal(fault)
        process.send_signal(signal.SIGCONT)
        said, _ = process.communicate()
    assert "24 clips cached, 0 left out" in said
    decoders = [row["decoder"] for row in files.read_jsonl(tmp_path / "shard-0.jsonl")]
    assert sorted(decoders) == ["decord"] * 23 + ["pyav"]
    assert (tmp_path / "shard-0.npy").read_bytes() == (undisturbed / "shard-0.npy").read_bytes()


def test_a_pipe_in_the_place_of_a_clip_is_not_waited_for(tmp_path: Path) -> None:
    toy = make_toy(tmp_path / "toy", clips=2)
    clip = toy / "clips" / files.read_jsonl(toy / "clips.jsonl")[0]["path"]
    clip.unlink()
    os.mkfifo(clip)
    said = run_script("cache_frames", *cache_arguments(toy, tmp_path / "out", "--max-rejected", 0.5), timeout=30)
    assert "1 clips cached, 1 left out" in said


def test_a_cache_made_again_replaces_the_old_one(tmp_path: Path) -> None:
    out = tmp_path / "out"
    run_script("cache_frames", *cache_arguments(make_toy(tmp_path / "old", clips=3, seed=1), out))
    toy = make_toy(tmp_path / "new", clips=2, seed=2)
    run_script("cache_frames", *cache_arguments(toy, out))
    run_script("cache_frames", *cache_arguments(toy, tmp_path / "fresh"))
    assert contents(out) == contents(tmp_path / "fresh")
