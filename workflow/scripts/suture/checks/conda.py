"""Conda: where the profile gives each rule an environment of its own."""

from __future__ import annotations

import re
import shutil
import subprocess
from collections.abc import Iterator

from suture.checks.base import Finding, Setting, fail, ok, warn

OLDEST = (24, 7, 1)
"""The oldest conda that Snakemake 9 works with (snakemake/deployment/conda.py)."""


def check(setting: Setting) -> Iterator[Finding]:
    """Asks conda for its version, where it is used."""
    methods = setting.profile.keys.get("software-deployment-method", []) if setting.profile else []
    here = shutil.which("conda")
    if "conda" not in methods:
        if setting.on_cluster:
            yield warn(
                "conda is not used: every job runs in the Python that started snakemake",
                "keep this checkout and its .venv on a file system that all nodes see, or install conda",
            )
        else:
            yield ok("conda is not used: jobs run in this Python")
        return
    if here is None:
        yield fail("the profile asks for conda, and there is none on PATH", "load or install it, or leave the line out")
        return
    try:
        said = subprocess.run([here, "--version"], capture_output=True, text=True, timeout=60, check=False).stdout
    except (OSError, subprocess.TimeoutExpired) as error:
        yield fail(f"conda does not answer: {error}", f"try  {here} --version")
        return
    match = re.search(r"(\d+)\.(\d+)\.(\d+)", said)
    found = tuple(int(part) for part in match.groups()) if match else (0, 0, 0)
    if found < OLDEST:
        version = match[0] if match else repr(said.strip())
        yield fail(
            f"conda {version} is older than Snakemake works with",
            f"conda update -n base conda (at least {_dotted(OLDEST)})",
        )
    else:
        yield ok(f"conda {_dotted(found)}")


def _dotted(version: tuple[int, ...]) -> str:
    return ".".join(map(str, version))
