"""What many tests need: running a command as a user does, and finding test data."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

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
