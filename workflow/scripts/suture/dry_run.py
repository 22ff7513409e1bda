"""What Snakemake would do, asked of Snakemake itself in a process of its own."""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

from suture import stale
from suture.errors import InputError
from suture.stale import Job


def planned(words: Sequence[str]) -> list[Job]:
    """Asks Snakemake what it would do.

    Args:
        words: its options and targets.

    Raises:
        InputError: it could not plan; the text is its own.
    """
    with tempfile.TemporaryDirectory() as folder:
        answer = Path(folder) / "jobs.json"
        done = subprocess.run(
            [sys.executable, "-m", "snakemake", "-n", "--quiet", "rules", *words],
            env={**os.environ, "SUTURE_EXPLAIN": str(answer)},
            capture_output=True,
            text=True,
            check=False,
        )
        if done.returncode or not answer.is_file():
            said = (done.stderr or done.stdout).strip().splitlines()
            raise InputError("snakemake cannot plan the run:\n" + "\n".join(f"  {line}" for line in said[-12:]))
        return stale.read(answer)
