"""Snakemake's benchmark files: how long a job took, and what it had asked for."""

from __future__ import annotations

import ast
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from suture import profiles


@dataclass(frozen=True, kw_only=True)
class Benchmark:
    """One job. What the file does not say, as one made without ``benchmark-extended``, is None.

    Attributes:
        seconds: from start to end.
        peak_bytes: most memory of all its processes together, seen now and then: short peaks are missed.
        cores: asked for, with those that came with its GPUs.
        memory_bytes: asked for.
        gpus: asked for.
        workers: processes that prepare batches, of a training job.
    """

    seconds: float
    peak_bytes: int | None
    cores: int | None
    memory_bytes: int | None
    gpus: int
    workers: int | None


def read(path: Path) -> Benchmark | None:
    """Reads a benchmark file, the last of several repeats; None where there is none, or nothing in it.

    A cell is not quoted, and may be long: the options of a job, the names of all its inputs.
    """
    if not path.is_file():
        return None
    lines = path.read_text(encoding="utf-8", errors="replace").strip().split("\n")
    if len(lines) < 2:
        return None
    row = dict(zip(lines[0].split("\t"), lines[-1].split("\t"), strict=False))
    seconds, peak = _number(row.get("s")), _number(row.get("max_rss"))
    if seconds is None:
        return None
    asked = _mapping(row.get("resources"))
    threads, memory, workers = _number(row.get("threads")), _number(asked.get("mem_mb")), _number(asked.get("workers"))
    gpus = profiles.gpus(asked) or 0
    per_gpu = _number(asked.get("cpus_per_gpu")) or 0
    return Benchmark(
        seconds=seconds,
        peak_bytes=None if peak is None else round(peak * 2**20),
        cores=None if threads is None else int(max(threads, per_gpu * gpus)),
        memory_bytes=None if memory is None else round(memory * 2**20),  # MB of SLURM's --mem
        gpus=gpus,
        workers=None if workers is None else int(workers),
    )


def _number(value: Any) -> float | None:
    try:
        return float(value)
    except (TypeError, ValueError):
        return None  # "NA": it was over before anybody looked


def _mapping(cell: str | None) -> dict[str, Any]:
    try:
        found = ast.literal_eval(cell or "{}")
    except (SyntaxError, ValueError):
        return {}
    return found if isinstance(found, dict) else {}
