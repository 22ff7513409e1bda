"""Arrays on disk that are written row by row and read as they are used."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np


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
