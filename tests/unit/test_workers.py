"""Calls in processes that may be lost: one that aborts or hangs costs itself."""

from __future__ import annotations

import os
import time
from pathlib import Path
from typing import Any

import pytest

from crashing import behave, read_fifo
from suture.video.workers import Lost, call_each


def outcomes(calls: list[list[str]], **options: Any) -> list[Any]:
    """What came of each call: what it was told, or why it was lost."""
    results = call_each(behave, calls, **{"workers": 1, "seconds": 20, **options})
    return [result.reason if isinstance(result, Lost) else result[0] for result in results]


def test_results_come_in_the_order_of_the_calls_from_several_processes() -> None:
    calls = [["slow a"], *([name] for name in "bcdefghijklmnop")]
    results = list(call_each(behave, calls, workers=2, seconds=20))
    assert [r[0] for r in results if not isinstance(r, Lost)] == [call[0] for call in calls]
    processes = {r[1] for r in results if not isinstance(r, Lost)}
    assert len(processes) == 2
    assert os.getpid() not in processes


@pytest.mark.parametrize("workers", [1, 2])
def test_a_call_that_ends_its_process_costs_itself(workers: int) -> None:
    calls = [["a"], ["abort"], ["b"], ["exit"], ["c"]]
    assert outcomes(calls, workers=workers) == ["a", "crashed", "b", "crashed", "c"]


def test_how_a_process_ended_is_told() -> None:
    lost = list(call_each(behave, [["abort"], ["exit"]], workers=1, seconds=20))
    assert lost == [
        Lost(reason="crashed", detail="its process was ended by SIGABRT"),
        Lost(reason="crashed", detail="its process ended with exit code 3"),
    ]


def test_a_call_that_hangs_costs_itself_and_no_more_than_its_time(tmp_path: Path) -> None:
    start = time.monotonic()
    assert outcomes([["a"], ["hang"], ["b"]], seconds=1) == ["a", "timeout", "b"]
    assert outcomes([["hang with the lock"], ["c"]], seconds=1) == ["timeout", "c"]
    os.mkfifo(tmp_path / "clip.mp4")
    fifo = list(call_each(read_fifo, [[str(tmp_path / "clip.mp4")]], workers=1, seconds=1))
    assert fifo == [Lost(reason="timeout", detail="not done after 1 s")]
    assert time.monotonic() - start < 20


def test_a_second_try_is_made_where_the_process_was_lost_and_only_there() -> None:
    assert outcomes([["a", "not this"], ["abort", "b"], ["abort", "exit"], ["c"]]) == ["a", "b", "crashed", "c"]


def test_a_call_that_asks_for_too_much_memory_costs_itself() -> None:
    assert outcomes([["gigabyte"]]) == ["gigabyte"]
    assert outcomes([["gigabyte"], ["a"]], megabytes=500) == ["memory", "a"]


def test_an_exception_is_a_fault_of_ours_and_stops_the_run() -> None:
    with pytest.raises(RuntimeError, match=r"(?s)behave.*KeyError: 'a fault of ours'"):
        outcomes([["a"], ["raise"], ["b"]])


def test_no_calls_no_processes() -> None:
    assert outcomes([]) == []


def test_a_caller_that_stops_listening_leaves_no_process() -> None:
    results = call_each(behave, [["a"], ["hang"]], workers=2, seconds=600)
    first = next(results)
    assert not isinstance(first, Lost)
    results.close()
    with pytest.raises(ProcessLookupError):
        os.kill(first[1], 0)
