"""A stand-in for conda, for tests only: it makes environments of what is installed here, and reaches no channel.

It checks an environment file by conda's own grammar (py-rattler, strict), and makes a virtual environment that holds
the pinned distributions, those they require, and no others: a rule whose file lacks something fails in it. That the
environments solve on conda-forge is not shown by it.

Each environment keeps, in ``used.txt``, the commands that were run in it.
"""

from __future__ import annotations

import itertools
import json
import os
import shutil
import subprocess
import sys
from importlib.metadata import Distribution, distribution
from pathlib import Path

import yaml
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name
from rattler import MatchSpec

ACTIVATE = 'export CONDA_PREFIX="$1" PATH="$1/bin:$PATH"\n'
NOTE_USE = """\
import sys
with open({used!r}, "a") as file:
    print(*sys.orig_argv[1:2], file=file)
"""


def install(root: Path) -> Path:
    """Puts the stand-in where Snakemake looks for conda's files; returns the folder for PATH."""
    folder = root / "bin"
    folder.mkdir(parents=True)
    (folder / "activate").write_text(ACTIVATE)
    (folder / "conda").write_text(f'#!/bin/sh\nCONDA_ROOT={root} exec {sys.executable} {__file__} "$@"\n')
    (folder / "conda").chmod(0o755)
    return folder


def create(file: Path, prefix: Path) -> None:
    """Makes an environment from a file of ours."""
    entries = yaml.safe_load(file.read_text())["dependencies"]
    specs = [MatchSpec(entry, strict=True) for entry in entries if isinstance(entry, str)]
    pins = [Requirement(line) for entry in entries if isinstance(entry, dict) for line in entry["pip"]]
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", prefix], check=True)
    site = next(prefix.glob("lib/python*/site-packages"))
    for found in required(pins).values():
        for name in sorted({path.parts[0] for path in found.files or []} - {"..", "__pycache__"}):
            target = site / name
            if not target.exists():
                target.symlink_to(Path(str(found.locate_file(name))))
    if any(spec.name.normalized == "ffmpeg" for spec in specs):
        from imageio_ffmpeg import get_ffmpeg_exe

        (prefix / "bin" / "ffmpeg").symlink_to(get_ffmpeg_exe())
    (site / "sitecustomize.py").write_text(NOTE_USE.format(used=str(prefix / "used.txt")))
    shutil.copy(file, prefix / "made-from.yaml")
    (prefix / "conda-meta").mkdir()


def required(pins: list[Requirement]) -> dict[str, Distribution]:
    """The pinned distributions and what they require, as they are installed here.

    Raises:
        SystemExit: another version is installed than the one that is pinned.
    """
    waiting, found = list(pins), dict[str, Distribution]()
    while waiting:
        wanted = waiting.pop()
        name = canonicalize_name(wanted.name)
        found[name] = found.get(name) or distribution(wanted.name)
        if not wanted.specifier.contains(found[name].version, prereleases=True):
            sys.exit(f"conda stand-in: {wanted} is asked for, {found[name].version} is installed")
        for line in found[name].requires or []:
            further = Requirement(line)
            new = canonicalize_name(further.name) not in found
            if new and any(
                further.marker is None or further.marker.evaluate({"extra": extra}) for extra in ("", *wanted.extras)
            ):
                waiting.append(further)
    return found


def main(arguments: list[str]) -> None:
    root = os.environ["CONDA_ROOT"]
    if arguments == ["--version"]:
        print("conda 24.99.0")
    elif arguments[:1] == ["info"]:
        print(json.dumps({"conda_prefix": root, "root_prefix": root, "platform": "linux-64"}))
    elif arguments[:2] == ["config", "--get"]:
        print(json.dumps({"get": {"channel_priority": "strict"}}))
    elif arguments[:2] == ["env", "create"]:
        given = dict(word.split("=", 1) for word in arguments if word.startswith("--") and "=" in word)
        given |= dict(itertools.pairwise(arguments))
        create(Path(given["--file"].strip("'\"")), Path(given["--prefix"].strip("'\"")))
    elif arguments[:1] not in (["list"], ["clean"]):
        sys.exit(f"conda stand-in: not supported: {arguments}")


if __name__ == "__main__":
    main(sys.argv[1:])
