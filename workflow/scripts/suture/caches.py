"""Caches on another disk: `results/<run>/cache` is a link there, so that the place changes no name and no result."""

from __future__ import annotations

import os
import re
import shutil
from collections.abc import Iterator
from pathlib import Path

from suture import files
from suture.errors import InputError

FOLDER = "cache"
"""Of a run: frames and features."""

# What Suture makes there, and what a killed job leaves of it (suture.files).
_MADE = re.compile(r"(\.)?shard-\d+(\.rejected)?\.(jsonl|npy)(?(1)\.tmp-\d+\.(jsonl|npy))")
_SNAKEMAKE = ".snakemake_timestamp"


def expanded(text: str, key: str) -> Path:
    """Fills in the variables of a folder's name.

    Raises:
        InputError: one is not set, or the name is not absolute then: two runs would mean two folders.
    """
    path = os.path.expandvars(Path(text).expanduser())
    if left := re.search(r"\$\{?(\w+)\}?", path):
        raise InputError(
            f"{key}: {text} names the variable {left[1]}, which is not set",
            fix=f"export {left[1]}, or give the folder itself",
        )
    if not Path(path).is_absolute():
        raise InputError(f"{key}: {text} is not an absolute path", fix="for example /scratch/me/suture")
    return Path(path)


def place(run: Path, cache: str | None) -> Path | None:
    """Returns where a run's caches are to lie; None: in its own folder.

    Two copies of a project have runs of the same name: the folder is named after where the run lies, too.
    """
    if cache is None:
        return None
    return expanded(cache, "storage.cache") / f"{run.name}-{files.sha256_text(str(run.absolute()))[:8]}"


def check(run: Path, target: Path | None) -> None:
    """Looks whether the caches lie where they should, before Snakemake asks which of them are there.

    Raises:
        InputError: they lie somewhere else. Nothing is moved unasked: it may be terabytes.
    """
    if target is None:
        return
    folder = run / FOLDER
    if folder.is_symlink() and folder.readlink() != target:
        where = folder.readlink()
    elif folder.is_dir() and not folder.is_symlink():
        where = folder
    else:
        return
    raise InputError(
        f"the caches of this run lie in {where}, storage.cache says {target}",
        fix=f"delete them (make clean-cache), or move them: mkdir -p {target.parent} && mv {where} {target}"
        f" && ln -sfn {target} {folder}",
    )


def link(run: Path, target: Path | None) -> None:
    """Makes the folder, and the link to it; both are there already but the first time, or where all was purged.

    Raises:
        InputError: the folder cannot be made.
    """
    if target is None:
        return
    try:
        target.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise InputError(
            f"storage.cache: {error.strerror}", where=target, fix="give a folder you may write in"
        ) from error
    folder = run / FOLDER
    if not folder.is_symlink():
        folder.parent.mkdir(parents=True, exist_ok=True)
        folder.symlink_to(target)


def clean(results: Path) -> tuple[int, int, list[Path]]:
    """Deletes the caches of all runs, wherever they lie; no file that Suture did not make.

    Returns:
        Number of files, their bytes, and the files of others that are left where they are.
    """
    number = size = 0
    left: list[Path] = []
    for folder in sorted(results.glob(f"*/{FOLDER}")):
        for path in _files(folder):
            if _MADE.fullmatch(path.name) and path.relative_to(folder).parts[0] in ("frames", "features"):
                number, size = number + 1, size + path.lstat().st_size
                path.unlink()
            elif path.name != _SNAKEMAKE:
                left.append(path)
        _remove_empty(folder)
    return number, size, left


def _files(folder: Path) -> Iterator[Path]:
    for where, _, names in os.walk(folder):
        yield from (Path(where) / name for name in sorted(names))


def _remove_empty(folder: Path) -> None:
    """Removes the folders that have nothing in them any more, and then the link to them."""
    for where, _, _ in os.walk(folder, topdown=False):
        here = Path(where)
        if here != folder and not any(here.iterdir()):
            here.rmdir()
    if folder.is_symlink():
        if folder.is_dir() and not any(folder.iterdir()):
            folder.resolve().rmdir()
        if not folder.exists():
            folder.unlink()
    elif not any(folder.iterdir()):
        folder.rmdir()


def usage(folder: Path) -> tuple[int, int]:
    """Returns bytes and number of the files in a folder; (0, 0) where there is none."""
    sizes = [path.stat().st_size for path in _files(folder)]
    return sum(sizes), len(sizes)


def free(folder: Path) -> tuple[int, int | None]:
    """Returns the bytes and files that this user can still make there; None: the file system does not count files."""
    there = next(path for path in (folder.absolute(), *folder.absolute().parents) if path.exists())
    nodes = os.statvfs(there)
    return shutil.disk_usage(there).free, nodes.f_favail if nodes.f_files else None
