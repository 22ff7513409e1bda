"""Copies of caches on the node's own disk, for jobs that read them again and again.

A copy is shared by the processes of a node, and deleted by the one that made it; those that have it open keep it.
"""

from __future__ import annotations

import atexit
import fcntl
import hashlib
import os
import shutil
import sys
from pathlib import Path

from suture import caches, files

ASKED = "SUTURE_NODE_LOCAL"
"""The folder (config: storage.node_local), its variables not filled in: they are the node's."""

KEPT_FREE = 0.05
"""Share of the disk that is left to others."""

_CHUNK = 16 * 2**20
_wanted = False


def want() -> None:
    """Has the caches copied that this process opens from now on: it reads them more than once."""
    global _wanted
    _wanted = True


def near(path: Path) -> Path:
    """Returns a copy of a file on the node's disk where one was asked for and fits, otherwise the file itself.

    The copy is read back, and compared by checksum.

    Raises:
        OSError: the file itself cannot be read.
        InputError: the folder's name has a variable that is not set in this job.
    """
    asked = os.environ.get(ASKED)
    if not (asked and _wanted):
        return path
    folder = caches.expanded(asked, "storage.node_local") / f"suture-{os.getuid()}"
    status = path.stat()
    name = files.sha256_text(f"{path.resolve()} {status.st_size} {status.st_mtime_ns}")[:16] + path.suffix
    try:
        folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        with (folder / f"{name}.lock").open("w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)  # of several processes one copies, the others wait for it
            return _copied(path, folder / name, status.st_size)
    except OSError as error:
        print(f"storage.node_local: {path} is read where it is: {error}", file=sys.stderr)
        return path


def _copied(path: Path, copy: Path, size: int) -> Path:
    if copy.is_file() and copy.stat().st_size == size:
        return copy
    disk = shutil.disk_usage(copy.parent)
    if disk.free - size < KEPT_FREE * disk.total:
        raise OSError(f"{size / 1e9:.2f} GB do not fit into {copy.parent}, {disk.free / 1e9:.2f} GB are free")
    with files.atomic_path(copy) as temporary:
        digest = hashlib.sha256()
        with path.open("rb") as source, temporary.open("wb") as target:
            while chunk := source.read(_CHUNK):
                digest.update(chunk)
                target.write(chunk)
        if files.sha256_file(temporary) != digest.hexdigest():
            raise OSError(f"what {copy.parent} gives back is not what was written")
    atexit.register(copy.unlink, missing_ok=True)
    print(f"storage.node_local: {size / 1e9:.2f} GB of {path} copied to {copy.parent}", file=sys.stderr)
    return copy
