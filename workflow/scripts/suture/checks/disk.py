"""Disk: may we write there, is there room, and does a quota leave it."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

from suture.checks.base import Finding, Setting, fail, ok, warn

LEAST_FILES = 100_000
FULL = 0.95
"""Share of a quota from which on a run will not get through."""


def check(setting: Setting) -> Iterator[Finding]:
    """Looks at the disk that results are written to; how much a run needs is the plan's to say."""
    there = next(path for path in (setting.results.absolute(), *setting.results.absolute().parents) if path.exists())
    if not os.access(there, os.W_OK):
        yield fail(f"{there} cannot be written to", "run where you may write, or make results/ a link to such a place")
        return
    disk, nodes = shutil.disk_usage(there), os.statvfs(there)
    if disk.free < 2e9:
        yield fail(f"{disk.free / 1e9:.1f} GB are free for results", "make room, or link results/ to another disk")
    elif nodes.f_files and nodes.f_favail < LEAST_FILES:
        yield fail(
            f"{nodes.f_favail:,} more files can be made on the disk of results", "delete files, or link elsewhere"
        )
    else:
        yield ok(f"{disk.free / 1e9:,.0f} GB free for results")
    yield from _quota()


def _quota() -> Iterator[Finding]:
    """Asks `quota` for what is used up; each file system is a line of nine columns (quota(1), -w and -p)."""
    command = shutil.which("quota")
    if command is None:
        return
    try:
        said = subprocess.run([command, "-w", "-p"], capture_output=True, text=True, timeout=30, check=False).stdout
    except (OSError, subprocess.TimeoutExpired):
        yield warn("`quota` does not answer", "ask it yourself: quota -s")
        return
    for line in said.splitlines():
        numbers = re.match(r"\s*(\S+)\s+(\d+)\*?\s+(\d+)\s+(\d+)\s+\S+\s+(\d+)\*?\s+(\d+)\s+(\d+)", line)
        if numbers is None:
            continue
        place = Path(numbers[1])
        for used, limits, what in ((2, (3, 4), "KiB"), (5, (6, 7), "files")):
            limit = min((int(numbers[one]) for one in limits if int(numbers[one])), default=0)
            if limit and int(numbers[used]) > FULL * limit:
                yield fail(
                    f"your quota on {place} is used up: {int(numbers[used]):,} of {limit:,} {what}",
                    "delete what you no longer need, or link results/ to a disk with room",
                )
