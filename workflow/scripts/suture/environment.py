"""Which Python the rules' commands run in."""

from __future__ import annotations

import os
import re
import shutil
import sys
from collections.abc import Iterable
from importlib.metadata import PackageNotFoundError, distribution
from pathlib import Path

from suture.errors import SutureError


def put_python_first() -> None:
    """Makes `python` in a rule's shell the one that Snakemake itself runs in.

    With conda, the rule's environment is put before it.
    """
    os.environ["PATH"] = f"{Path(sys.executable).parent}{os.pathsep}{os.environ.get('PATH', '')}"


def check_deployment(envs: Iterable[Path], *, executor: str, deployed: bool) -> None:
    """Says how to go on where jobs could not be queued, or would fail one by one for want of packages.

    Args:
        envs: environment files of the rules that have work to do; those that are not there are none.
        executor: what runs the jobs: ``local``, ``slurm``.
        deployed: whether they run in conda environments or containers.

    Raises:
        SutureError: there is no SLURM here, or no conda and not the packages either.
    """
    if executor == "slurm" and not shutil.which("sbatch"):
        raise SutureError("no sbatch on PATH: start this on your cluster's login node, or leave out --profile slurm")
    if deployed:
        return
    missing = [name for name in sorted(_packages(envs)) if not _is_installed(name)]
    if missing:
        raise SutureError(
            f"no conda on PATH, and {sys.executable} lacks {', '.join(missing[:3])}{', ...' if missing[3:] else ''}: "
            "load conda (24.7.1 or newer) and add --sdm conda (--profile slurm does), or run `make setup` and then "
            ".venv/bin/snakemake"
        )
    if executor == "slurm":
        print(f"No conda on PATH: jobs run in {sys.executable}, which has all they need.", file=sys.stderr, flush=True)


def _packages(envs: Iterable[Path]) -> set[str]:
    """The distributions that environment files pin from PyPI."""
    texts = [path.read_text() for path in envs if path.is_file()]
    return {name for text in texts for name in re.findall(r"^  - ([\w.-]+)==", text, re.MULTILINE)}


def _is_installed(name: str) -> bool:
    try:
        distribution(name)
    except PackageNotFoundError:
        return False
    return True
