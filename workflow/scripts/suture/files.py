"""Reading and writing files so that nothing is ever half-written.

Everything goes to a temporary name beside its target and is renamed when it is
whole. JSON is written with sorted, stable layout: equal content, equal bytes.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
import shutil
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from suture import disk_full
from suture.errors import InputError

JSON = Any


def sha256_file(path: Path) -> str:
    """Returns the hex sha256 of a file's bytes."""
    with path.open("rb") as handle:
        return hashlib.file_digest(handle, "sha256").hexdigest()


def sha256_text(text: str) -> str:
    """Returns the hex sha256 of a text's UTF-8 bytes."""
    return hashlib.sha256(text.encode()).hexdigest()


def _temporary(path: Path) -> Path:
    # The suffix stays last: encoders and savers choose their format by it.
    return path.with_name(f".{path.name}.tmp-{os.getpid()}{path.suffix}")


def _left_over(path: Path) -> list[Path]:
    # The whole name must match: `.P1.tmp-7` is of P1, `.P1.2.tmp-7.2` of another target that may be in the making.
    pattern = re.compile(rf"\.{re.escape(path.name)}\.tmp-\d+{re.escape(path.suffix)}")
    with os.scandir(path.parent) as entries:
        return [path.with_name(entry.name) for entry in entries if pattern.fullmatch(entry.name)]


@contextmanager
def atomic_path(path: Path) -> Iterator[Path]:
    """Gives a temporary file name and renames it to ``path`` on success.

    On any exception the temporary file is removed and ``path`` is untouched.
    Temporary files that an earlier, killed run left beside it are removed first.

    Raises:
        DiskFull: there is no room for it.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    for left_over in _left_over(path):
        left_over.unlink()
    temporary = _temporary(path)
    try:
        with disk_full.named(path):
            yield temporary
            with temporary.open("rb") as handle:
                os.fsync(handle.fileno())
            temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)


@contextmanager
def atomic_dir(path: Path) -> Iterator[Path]:
    """Gives an empty temporary folder and renames it to ``path`` on success.

    An existing ``path`` is replaced as a whole. Temporary folders that an
    earlier, killed run left beside it are removed first.

    Raises:
        DiskFull: there is no room for it.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    for left_over in _left_over(path):
        shutil.rmtree(left_over)
    temporary = _temporary(path)
    try:
        with disk_full.named(path):
            temporary.mkdir()
            yield temporary
        if path.exists():
            shutil.rmtree(path)
        temporary.replace(path)
    finally:
        shutil.rmtree(temporary, ignore_errors=True)


def write_text(path: Path, text: str) -> None:
    """Writes a text file as a whole or not at all."""
    with atomic_path(path) as temporary:
        temporary.write_text(text, encoding="utf-8", newline="\n")


def write_json(path: Path, value: JSON, *, sort_keys: bool = True) -> None:
    """Writes a value as indented JSON, keys sorted unless their order has a meaning."""
    write_text(path, json.dumps(value, indent=2, sort_keys=sort_keys, ensure_ascii=False, allow_nan=False) + "\n")


def read_json(path: Path) -> JSON:
    """Reads a JSON file, a leading byte-order mark allowed.

    Raises:
        InputError: the file is missing, is not UTF-8 or is not JSON.
    """
    try:
        return json.loads(read_text(path))
    except json.JSONDecodeError as error:
        raise InputError(
            f"not a JSON file: {error.msg}",
            where=f"{path}:{error.lineno}:{error.colno}",
            fix="repair the file or take it from its publisher again",
        ) from error


def read_text(path: Path) -> str:
    """Reads a UTF-8 text file without its byte-order mark.

    Raises:
        InputError: the file is missing, a folder, not to be read, or not UTF-8.
    """
    try:
        return path.read_text(encoding="utf-8-sig")
    except FileNotFoundError as error:
        raise InputError("file not found", where=path) from error
    except OSError as error:
        raise InputError(f"cannot be read as a file: {error.strerror}", where=path) from error
    except UnicodeDecodeError as error:
        raise InputError(
            f"not a UTF-8 text file (byte {error.start})",
            where=path,
            fix="save it again as UTF-8",
        ) from error


def write_jsonl(path: Path, rows: Iterable[JSON]) -> None:
    """Writes JSON Lines in the order given, keys sorted within a line."""
    lines = (json.dumps(row, sort_keys=True, ensure_ascii=False, allow_nan=False) for row in rows)
    write_text(path, "".join(line + "\n" for line in lines))


def read_jsonl(path: Path) -> list[JSON]:
    """Reads JSON Lines; empty lines are passed over.

    Raises:
        InputError: naming the file and the line that is not JSON.
    """
    rows = []
    for number, line in enumerate(read_text(path).split("\n"), start=1):
        if not line.strip():
            continue
        try:
            rows.append(json.loads(line))
        except json.JSONDecodeError as error:
            raise InputError(
                f"not a JSON line: {error.msg}", where=f"{path}:{number}", fix="one JSON object a line"
            ) from error
    return rows


def inside(root: Path, relative: str) -> Path:
    """Joins a path taken from an annotation file to its root.

    Raises:
        InputError: the path is absolute or leads out of ``root``.
    """
    joined = root / relative
    # Compared by name, not resolved: data folders are often trees of links.
    normal = Path(os.path.normpath(joined))
    if Path(relative).is_absolute() or not normal.is_relative_to(os.path.normpath(root)):
        raise InputError(
            f"path {relative!r} leads out of {root}",
            fix="give paths relative to the dataset's root, without '..'",
        )
    return normal
