"""Arrays on disk that are written row by row and read as they are used, and what is cached of clips in them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, Generic, Protocol, TypeVar

import numpy as np

from suture import node_local, records
from suture.errors import InputError


class RowWriter:
    """Appends rows to a ``.npy`` file whose length is not known before its end.

    The header is written again at the end: NumPy pads it so that the length of
    the first axis can grow in place (``GROWTH_AXIS_MAX_DIGITS``).

    Args:
        path: the file.
        row: shape of one row.
        dtype: of the numbers, written little-endian.
    """

    def __init__(self, path: Path, row: tuple[int, ...], dtype: np.dtype[Any]) -> None:
        self._row = row
        self._dtype = dtype.newbyteorder("<")
        self._handle = path.open("w+b")
        self.rows = 0
        self._write_header()

    def _write_header(self) -> None:
        header = {
            "descr": np.lib.format.dtype_to_descr(self._dtype),
            "fortran_order": False,
            "shape": (self.rows, *self._row),
        }
        np.lib.format.write_array_header_1_0(self._handle, header)

    def append(self, rows: np.ndarray) -> None:
        """Writes rows [n, ...] behind those already there."""
        if rows.shape[1:] != self._row or rows.dtype != self._dtype:
            raise ValueError(f"rows are {rows.dtype} {rows.shape[1:]}, the array holds {self._dtype} {self._row}")
        self._handle.write(np.ascontiguousarray(rows).data)
        self.rows += len(rows)

    def close(self) -> None:
        """Completes the header and closes the file."""
        self._handle.seek(0)
        self._write_header()
        self._handle.close()


class CachedLine(Protocol):
    """A manifest's line about a clip: its rows start at ``row`` of ``array``; ``rejected`` says why it has none."""

    @property
    def clip(self) -> str: ...
    @property
    def array(self) -> str: ...
    @property
    def row(self) -> int: ...
    @property
    def rejected(self) -> str: ...


Line = TypeVar("Line", bound=CachedLine)
Layout = tuple[tuple[int, ...], np.dtype[Any]]


class RowCache(Generic[Line]):
    """Reads what is cached of clips by clip id, from one or more shards.

    Args:
        manifests: of the shards.
        kind: of a manifest's lines.
        layout: gives shape and type of the array that lines describe.
        what: the rows are, for errors.
        rebuild: how to make a shard again.

    Attributes:
        rejected: lines of the clips that have no rows.

    Raises:
        InputError: a manifest or its array is missing, or they do not belong together.
    """

    def __init__(
        self,
        manifests: Sequence[Path],
        kind: type[Line],
        *,
        layout: Callable[[Sequence[Line]], Layout],
        what: str,
        rebuild: str,
    ) -> None:
        self._lines: dict[str, Line] = {}
        self._arrays: dict[str, np.ndarray] = {}
        self.rejected: dict[str, Line] = {}
        for manifest in manifests:
            lines: list[Line] = records.read(manifest, kind)
            records.check_unique([*self._lines, *self.rejected, *(x.clip for x in lines)], what="clip", where=manifest)
            self.rejected.update({line.clip: line for line in lines if line.rejected})
            kept = {line.clip: line for line in lines if not line.rejected}
            if kept:
                path = manifest.parent / next(iter(kept.values())).array
                array = _open(path, layout(list(kept.values())), what, rebuild)
                self._arrays.update(dict.fromkeys(kept, array))
                self._lines.update(kept)

    def __len__(self) -> int:
        return len(self._lines)

    def __contains__(self, clip: object) -> bool:
        return clip in self._lines

    def entry(self, clip: str) -> Line:
        """Returns the manifest line of a clip; KeyError where it has no rows."""
        return self._lines[clip]

    def rows(self, clip: str, count: int) -> np.ndarray:
        """Returns the ``count`` rows of a clip, read from disk as they are used."""
        first = self._lines[clip].row
        return self._arrays[clip][first : first + count]


def _open(path: Path, expected: Layout, what: str, rebuild: str) -> np.ndarray:
    try:
        array: np.ndarray = np.load(node_local.near(path), mmap_mode="r", allow_pickle=False)
    except (OSError, ValueError) as error:
        raise InputError(f"the {what} of this manifest cannot be read: {error}", where=path, fix=rebuild) from error
    if (array.shape, array.dtype) != expected:
        raise InputError(
            f"the array is {array.dtype} {array.shape}, its manifest says {expected[1]} {expected[0]}",
            where=path,
            fix=rebuild,
        )
    return array
