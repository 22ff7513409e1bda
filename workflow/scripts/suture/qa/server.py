"""A language-model server that a job starts on its own machine, and stops again whatever happens."""

from __future__ import annotations

import os
import shlex
import signal
import socket
import subprocess
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import httpx2

from suture import machine
from suture.errors import ConfigError, InputError
from suture.progress import say
from suture.qa.writers.base import ServerGone

HOST = "127.0.0.1"
_STOP_S = 20.0


def free_port() -> int:
    """Returns a port of this machine that nothing listens on."""
    with socket.socket() as one:
        one.bind((HOST, 0))
        return int(one.getsockname()[1])


@contextmanager
def running(command: Sequence[str], log: Path, *, start_timeout: float) -> Iterator[str]:
    """Starts a server, waits until it is ready, gives its address up to /v1, and stops it in the end.

    Args:
        command: the program and its arguments; ``{port}`` is put in.
        log: gets what the server prints.
        start_timeout: seconds until it must be ready.

    Raises:
        ConfigError: there is no such program.
        InputError: it ended before it was ready.
        ServerGone: it was not ready in time.
    """
    port = free_port()
    words = [word.replace("{port}", str(port)) for word in command]
    log.parent.mkdir(parents=True, exist_ok=True)
    with log.open("ab") as output:
        try:
            # A session of its own: what the server starts is ended with it.
            process = subprocess.Popen(
                words,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                start_new_session=True,
                preexec_fn=machine.end_with_parent,
            )
        except OSError as error:
            raise ConfigError(
                f"the server cannot be started: {error.strerror}",
                where=words[0],
                fix="give the program's path (llm.vllm or llm.serve), or set it up in an environment of its own",
            ) from error
    try:
        _wait(process, port, words[0], log, start_timeout)
        yield f"http://{HOST}:{port}/v1"
    finally:
        _stop(process)


def split(command: str, **values: str) -> list[str]:
    """Splits a command line as a shell would, and puts values in for their ``{name}``; ``{port}`` stays."""
    words = shlex.split(command)
    for name, value in values.items():
        words = [word.replace("{" + name + "}", value) for word in words]
    return words


def _wait(process: subprocess.Popen[bytes], port: int, name: str, log: Path, start_timeout: float) -> None:
    end = time.monotonic() + start_timeout
    say(f"generate_qa: waiting for {Path(name).name} on port {port}")
    with httpx2.Client(timeout=5, trust_env=False) as client:
        while time.monotonic() < end:
            if process.poll() is not None:
                raise InputError(
                    f"the server ended with {process.returncode} before it was ready: {_last_line(log)}", where=log
                )
            for path in ("/health", "/v1/models"):
                try:
                    if client.get(f"http://{HOST}:{port}{path}").status_code == 200:
                        return
                except httpx2.HTTPError:
                    break
            time.sleep(0.25)
    raise ServerGone(f"the server was not ready after {start_timeout:g} s")


def _last_line(log: Path) -> str:
    lines = [line for line in log.read_text(errors="replace").splitlines() if line.strip()]
    return lines[-1][:300] if lines else "it printed nothing"


def _stop(process: subprocess.Popen[bytes]) -> None:
    for number in (signal.SIGTERM, signal.SIGKILL):
        try:
            os.killpg(process.pid, number)
        except ProcessLookupError:
            break
        try:
            process.wait(_STOP_S)
        except subprocess.TimeoutExpired:
            continue
        if number == signal.SIGTERM:
            continue  # its children may be left: they get the second signal
    process.wait()
