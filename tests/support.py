"""What many tests need: running a command as a user does, and finding test data."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

from suture.records import Clip

ROOT = Path(__file__).parents[1]
SCRIPTS = ROOT / "workflow" / "scripts"
SHARED = ROOT.parent / "shared" / "data"


def run_script(name: str, *args: object, code: int = 0, timeout: float = 300, cwd: Path | None = None) -> str:
    """Runs ``workflow/scripts/<name>.py`` in a process of its own and checks its exit code.

    Returns stdout and stderr together, so that a test can look for what a user reads.
    """
    done = subprocess.run(
        [sys.executable, str(SCRIPTS / f"{name}.py"), *map(str, args)],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=timeout,
        cwd=cwd,
        env={**os.environ, "PYTHONUNBUFFERED": "1"},
    )
    assert done.returncode == code, f"{name} ended with {done.returncode}, expected {code}:\n{done.stdout}"
    return done.stdout


def call(module: Any, *arguments: object) -> Any:
    """Runs a command in this process, which saves its imports; it starts from files all the same.

    Returns what its ``main`` returns. The handler of SIGTERM is put back.
    """
    before = signal.getsignal(signal.SIGTERM)
    try:
        return module.main(module.parser().parse_args([str(argument) for argument in arguments]))
    finally:
        signal.signal(signal.SIGTERM, before)


def make_clip(**changes: Any) -> Clip:
    """Returns a clip's record; there is no such file. What is not among the changes follows from id and case."""
    case = changes.get("case", "case_1")
    name = changes.get("id", f"{case}_0")
    fields: dict[str, Any] = {
        "id": name,
        "case": case,
        "phase": "Incision",
        "start_s": 0.0,
        "end_s": 5.0,
        "path": f"{case}/{name}.mp4",
        "first_frame": 0,
        "n_frames": 150,
        "fps": 30.0,
        "width": 64,
        "height": 48,
        "method": "copy",
        "sha256": f"clip {name}",
        "source": f"{case}.mp4",
        "source_sha256": f"video {case}",
    }
    return Clip(**fields | changes)


def clone(target: Path) -> Path:
    """Copies the working tree, as git would clone it with all changes committed, and returns it."""
    listed = subprocess.run(
        ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"],
        cwd=ROOT,
        capture_output=True,
        check=True,
        text=True,
    )
    for name in filter(None, listed.stdout.split("\0")):
        source, copy = ROOT / name, target / name
        if source.is_symlink() or source.is_file():
            copy.parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(source, copy, follow_symlinks=False)
    return target


def snakemake(where: Path, *args: object, code: int = 0, timeout: float = 900, path: Path | None = None) -> str:
    """Runs snakemake in a clone and checks its exit code; returns all it printed. ``path`` goes before PATH."""
    programs = f"{path}:/usr/bin:/bin" if path else "/usr/bin:/bin"
    done = subprocess.run(
        [sys.executable, "-m", "snakemake", *map(str, args)],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=timeout,
        cwd=where,
        env={key: value for key, value in os.environ.items() if key != "PATH"} | {"PATH": programs},
    )
    assert done.returncode == code, f"snakemake ended with {done.returncode}, expected {code}:\n{done.stdout[-6000:]}"
    return done.stdout


def planned(dry_run: str) -> dict[str, int]:
    """Reads the table of job counts that `snakemake -n` prints; empty where nothing is to be done."""
    if "Nothing to be done" in dry_run:
        return {}
    table = dry_run.split("Job stats:\n", 1)[1].split("\n\n", 1)[0]
    rows = [line.split() for line in table.splitlines()[2:]]
    return {rule: int(count) for rule, count in rows if rule != "total"}
