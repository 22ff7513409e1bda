"""Python and packages: those that start snakemake."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from importlib.metadata import PackageNotFoundError, version

from suture.checks.base import Finding, Setting, fail, ok

NEEDED = ("torch", "transformers", "peft", "snakemake", "snakemake-executor-plugin-slurm", "av", "numpy", "pydantic")


def check(setting: Setting) -> Iterator[Finding]:
    """Compares Python and the main packages with the lock."""
    if sys.version_info[:2] != (3, 11):
        yield fail(
            f"this is Python {sys.version.split()[0]}; Suture is made for 3.11", "make setup, and .venv/bin/python"
        )
    lock = setting.root / "requirements.lock"
    lines = lock.read_text(encoding="utf-8").splitlines() if lock.is_file() else []
    pins = dict(line.split("==") for line in lines if "==" in line and not line.startswith("#"))
    others = []
    for name in NEEDED:
        try:
            here = version(name)
        except PackageNotFoundError:
            here = "none"
        # A build's own mark, as 2.14.0+cpu, is the same version.
        if pins.get(name) and here.split("+")[0] != pins[name].split("+")[0]:
            others.append(f"{name} {here} instead of {pins[name]}")
    if others:
        yield fail(f"not as in requirements.lock: {', '.join(others)}", "make setup")
    else:
        yield ok(f"Python {sys.version.split()[0]} and the packages of requirements.lock")
