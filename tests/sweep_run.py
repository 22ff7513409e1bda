"""A sweep of the tiny run, for tests: its config, its processes, and what must be equal afterwards."""

from __future__ import annotations

import hashlib
import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import yaml

from suture import files
from suture.ledger import Entry, read

CONFIG = "sweep.yaml"
RUN = Path("results/tiny")


def write_config(where: Path, **train: Any) -> None:
    """Writes the tiny run with its first experiment alone, and some training options changed."""
    raw = yaml.safe_load((where / "tests/dag/tiny.yaml").read_text())
    one = raw["experiments"]["one"]
    raw["experiments"] = {"one": {**one, "baselines": [], "train": {**one["train"], **train}}}
    (where / CONFIG).write_text(yaml.safe_dump(raw))


@contextmanager
def started(where: Path, *args: object, env: Mapping[str, str] | None = None) -> Iterator[subprocess.Popen[str]]:
    """Starts sweep.py in a clone, its output in a file; a test that fails meanwhile ends it."""
    said = where / "said.txt"
    with said.open("w") as out:
        process = subprocess.Popen(
            [sys.executable, "workflow/scripts/sweep.py", "--configfile", CONFIG, *map(str, args)],
            cwd=where,
            env={**(env or os.environ), "PYTHONUNBUFFERED": "1"},
            stdout=out,
            stderr=subprocess.STDOUT,
            text=True,
        )
    try:
        yield process
    finally:
        if process.poll() is None:
            process.kill()
        process.wait()


def sweep(where: Path, *args: object, code: int = 0, env: Mapping[str, str] | None = None, timeout: float = 900) -> str:
    """Runs sweep.py to its end and checks its exit code; returns all it printed."""
    with started(where, *args, env=env) as process:
        process.wait(timeout=timeout)
    assert process.returncode == code, f"sweep.py ended with {process.returncode}:\n{said(where)[-6000:]}"
    return said(where)


def said(where: Path) -> str:
    """What the last sweep.py printed."""
    return (where / "said.txt").read_text()


def wait_until(seen: Callable[[], Any], process: subprocess.Popen[str], where: Path, timeout: float = 600) -> Any:
    """Waits for something while sweep.py runs."""
    until = time.monotonic() + timeout
    while not (found := seen()):
        assert process.poll() is None, f"the sweep ended too early:\n{said(where)[-6000:]}"
        assert time.monotonic() < until, f"what the test waits for never came:\n{said(where)[-3000:]}"
        time.sleep(0.1)
    return found


def entries(where: Path, point: str) -> list[Entry]:
    """The ledger's lines about a point."""
    return read(where / RUN / "ledger.jsonl").of(point)


def made(where: Path) -> dict[str, str]:
    """The digest of all that is made of the points: checkpoints, models, answers, scores."""
    folders = ("train", "models", "predictions", "metrics")
    paths = [path for folder in folders for path in (where / RUN / folder).rglob("*") if path.is_file()]
    return {str(path.relative_to(where)): hashlib.sha256(path.read_bytes()).hexdigest() for path in sorted(paths)}


def table(where: Path, name: str = "one") -> list[dict[str, Any]]:
    """The rows of the sweep's table."""
    rows: list[dict[str, Any]] = files.read_json(where / RUN / "sweeps" / name / "sweep.json")["points"]
    return rows
