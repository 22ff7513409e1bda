"""Calls that may crash or hang, each in a process that can be lost.

A decoder is a large program in C that reads other people's files: it may end
the whole process, or never return. Here that costs the one call. The standard
library's executors give up altogether when a process of theirs dies, and
cannot stop one that hangs; so processes are started and watched here.

They are spawned, not forked: decord deadlocks in a fork. They end with their
parent, however it ends.
"""

from __future__ import annotations

import contextlib
import math
import os
import resource
import signal
import threading
import time
import traceback
from collections import deque
from collections.abc import Callable, Generator, Sequence
from dataclasses import dataclass
from multiprocessing import get_context, parent_process
from multiprocessing.connection import Connection, wait
from typing import Generic, TypeVar

Argument = TypeVar("Argument")
Result = TypeVar("Result")

AHEAD = 4
"""Calls for each worker that may be begun beyond the first whose result is awaited: results wait in memory."""

_SECONDS_TO_START = 120
_GRACE = 2
_READY = "ready"


@dataclass(frozen=True, kw_only=True)
class Lost:
    """A call whose process had to be given up: ``reason`` is crashed, timeout or memory, ``detail`` for a reader."""

    reason: str
    detail: str


@dataclass(frozen=True)
class _Returned(Generic[Result]):
    value: Result


@dataclass(frozen=True)
class _Raised:
    trace: str


def call_each(
    function: Callable[[Argument], Result],
    calls: Sequence[Sequence[Argument]],
    *,
    workers: int,
    seconds: float,
    megabytes: int | None = None,
    spent: Callable[[Result], bool] = lambda _: False,
) -> Generator[Result | Lost, None, None]:
    """Calls a function in processes of their own and yields the results in the order of ``calls``.

    Args:
        function: of a module that can be imported.
        calls: for each result, the arguments to try in turn: the second where
            the process was lost over the first, and so on.
        workers: number of processes.
        seconds: time limit of one try.
        megabytes: memory that a process may ask for; None: no limit.
        spent: tells of a result whether its process had better not be used again.

    Yields:
        What the function returned, or :class:`Lost` where no try came back.

    Raises:
        RuntimeError: the function raised, with its traceback; or a process does not start.
    """
    waiting = deque((number, 0) for number in range(len(calls)))
    done: dict[int, Result | Lost] = {}
    following = 0
    pool = [_Worker(function, seconds, megabytes) for _ in range(min(workers, len(calls)))]
    try:
        while following < len(calls):
            for worker in pool:
                if worker.task is None and waiting and waiting[0][0] < following + AHEAD * workers:
                    number, attempt = waiting.popleft()
                    worker.give((number, attempt), calls[number][attempt])
            _wait_for_one(pool)
            for at, worker in enumerate(pool):
                if worker.task is None or (outcome := worker.outcome()) is None:
                    continue
                number, attempt = worker.task
                worker.task = None
                result = outcome if isinstance(outcome, Lost) else outcome.value
                if isinstance(result, Lost) or spent(result):
                    worker.end()
                    pool[at] = _Worker(function, seconds, megabytes)
                if isinstance(result, Lost) and attempt + 1 < len(calls[number]):
                    waiting.appendleft((number, attempt + 1))
                else:
                    done[number] = result
            while following in done:
                yield done.pop(following)
                following += 1
    finally:
        for worker in pool:
            worker.end()


class _Worker(Generic[Argument, Result]):
    """A process that calls one function again and again. ``task``: which call it is at, (number, attempt)."""

    def __init__(self, function: Callable[[Argument], Result], seconds: float, megabytes: int | None) -> None:
        context = get_context("spawn")
        self.connection, theirs = context.Pipe()
        self._process = context.Process(target=_serve, args=(theirs, function, seconds, megabytes), daemon=True)
        self._process.start()
        theirs.close()
        self._seconds = seconds
        self._ready = False
        self.task: tuple[int, int] | None = None
        self.deadline = math.inf

    def give(self, task: tuple[int, int], argument: Argument) -> None:
        """Starts a call. Its time runs from when the process is ready: imports may come from a slow disk."""
        if not self._ready:
            self._ready = self._starts()
        with contextlib.suppress(BrokenPipeError):  # killed while it was idle: outcome() says so
            self.connection.send(argument)
        self.task, self.deadline = task, time.monotonic() + self._seconds

    def _starts(self) -> bool:
        # A process that cannot start is no file's fault, and no other would start either.
        with contextlib.suppress(EOFError):
            if self.connection.poll(_SECONDS_TO_START):
                return bool(self.connection.recv() == _READY)
        raise RuntimeError("a process for decoding does not start; its own error is above")

    def outcome(self) -> _Returned[Result] | Lost | None:
        """Looks whether the call has come back; None: not yet.

        Raises:
            RuntimeError: the function raised.
        """
        late = Lost(reason="timeout", detail=f"not done after {self._seconds:g} s")
        if not self.connection.poll():
            return late if time.monotonic() >= self.deadline else None
        try:
            answer = self.connection.recv()
        except (EOFError, OSError):
            self._process.join(_GRACE)
            code = self._process.exitcode
            return late if code == -signal.SIGALRM else Lost(reason="crashed", detail=f"its process {_ended(code)}")
        if isinstance(answer, _Raised):
            raise RuntimeError(f"in a process for decoding:\n{answer.trace}")
        told: _Returned[Result] | Lost = answer
        return told

    def end(self) -> None:
        """Ends the process, whatever it is at."""
        self._process.kill()
        self._process.join()
        self.connection.close()


def _wait_for_one(pool: Sequence[_Worker[Argument, Result]]) -> None:
    """Waits until a worker has come back or is late."""
    busy = [worker for worker in pool if worker.task is not None]
    until = min(worker.deadline for worker in busy)
    wait([worker.connection for worker in busy], timeout=max(0.0, until - time.monotonic()))


def _ended(code: int | None) -> str:
    if code is None:
        return "does not answer"
    return f"was ended by {signal.Signals(-code).name}" if code < 0 else f"ended with exit code {code}"


def _serve(
    connection: Connection, function: Callable[[Argument], Result], seconds: float, megabytes: int | None
) -> None:
    """What a worker does."""
    # Ctrl-C reaches the whole group: the parent answers it, once.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    threading.Thread(target=_end_with_parent, daemon=True).start()
    if megabytes is not None:
        most = resource.getrlimit(resource.RLIMIT_DATA)[1]
        wanted = megabytes * 1_000_000
        resource.setrlimit(resource.RLIMIT_DATA, (wanted if most < 0 else min(wanted, most), most))
    connection.send(_READY)
    while True:
        try:
            argument = connection.recv()
        except EOFError:
            return
        # The parent stops what takes too long. Where it is gone and the interpreter's lock is held
        # by what hangs, no thread of ours runs: then the kernel's alarm ends the process.
        signal.alarm(math.ceil(seconds) + _GRACE)
        answer: _Returned[Result] | _Raised | Lost
        try:
            answer = _Returned(function(argument))
        except MemoryError:
            # What was being built when memory ran out stays unfinished: such a process is not used again.
            answer = Lost(reason="memory", detail=f"it needs more memory than {megabytes} MB")
        except Exception:
            answer = _Raised(traceback.format_exc())
        signal.alarm(0)
        connection.send(answer)


def _end_with_parent() -> None:
    parent = parent_process()
    assert parent is not None
    wait([parent.sentinel])
    os._exit(1)
