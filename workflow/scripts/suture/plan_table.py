"""The table that `snakemake plan` and `make plan` print: at most 100 columns, a block for each experiment."""

from __future__ import annotations

import textwrap
from collections.abc import Sequence

from suture.planning import Row
from suture.status import duration

WIDTH = 100
_HEAD = ("experiment", "trains", "steps", "s/step", "steps/job", "jobs", "a job", "limit", "GPU-h", "GB", "files")
_WIDTHS = (20, 6, 7, 8, 10, 5, 8, 8, 7, 7, 6)


def table(rows: Sequence[Row]) -> str:
    """Returns the table, and below each experiment what stands behind its numbers."""
    lines = [_line(_HEAD)]
    for row in rows:
        lines.append(_line(_cells(row)))
        lines += _below(row)
    return "\n".join(lines)


def _line(cells: Sequence[str]) -> str:
    name, *others = (
        f"{_cut(cell, width):<{width}}" if number < 2 else f"{cell:>{width}}"
        for number, (cell, width) in enumerate(zip(cells, _WIDTHS, strict=True))
    )
    return (name + " " + "".join(others)).rstrip()


def _cut(text: str, width: int) -> str:
    return text if len(text) <= width else text[: width - 1] + "…"


def _cells(row: Row) -> tuple[str, ...]:
    pace = row.pace
    about = "~" if row.source == "estimated" else ""
    return (
        row.experiment,
        row.trains,
        "?" if row.steps is None else str(row.steps),
        f"{about}{pace.seconds_per_step:.3g}" if pace else "?",
        str(row.steps_per_job or "?"),
        str(len(row.borders) or "?"),
        "?" if row.job_hours is None else about + duration(row.job_hours * 3600),
        duration(row.limit.minutes * 60),
        "-" if pace and not pace.gpus else "?" if row.gpu_hours is None else f"{about}{row.gpu_hours:.3g}",
        "?" if row.disk_bytes is None else _gigabytes(row.disk_bytes),
        "?" if row.n_files is None else str(row.n_files),
    )


def _gigabytes(size: int) -> str:
    return f"{size / 1e9:.3g}" if size >= 1e7 else "<0.01"


def _below(row: Row) -> list[str]:
    words = [row.arithmetic, f"limit: {duration(row.limit.minutes * 60)}, {row.limit.said_by}"]
    if row.pace and row.hours is not None and not row.pace.gpus:
        words.append(f"all jobs: {duration(row.hours * 3600)} on a CPU, no GPU-hours")
    if row.memory:
        parts = [f"{mode} {_memory(one.bytes, one.at_least)}" for mode, one in sorted(row.memory.items())]
        of = f" of {row.capacity_bytes / 2**30:.1f} GiB" if row.capacity_bytes else ""
        words.append(f"memory of the longest batch: {', '.join(parts)}{of} ({row.device})")
    words += row.notes
    lines = [line for text in words for line in wrapped("    ", text)]
    return lines + [line for text in row.problems for line in wrapped("    CANNOT FIT: ", text)]


def _memory(held: int | None, at_least: int | None) -> str:
    if held is not None:
        return f"{held / 2**30:.2f} GiB"
    return f"more than there is (at least {at_least / 2**30:.1f} GiB)" if at_least else "more than there is"


def wrapped(head: str, text: str) -> list[str]:
    """Breaks a text into lines of the table's width, the first with a head before it."""
    return textwrap.wrap(text, WIDTH, initial_indent=head, subsequent_indent="      ", break_on_hyphens=False)
