"""The plan: what cannot fit time, memory or disk, by what was measured."""

from __future__ import annotations

from collections.abc import Iterator

from suture import limits, planning
from suture.checks.base import Finding, Setting, fail, ok, warn


def check(setting: Setting) -> Iterator[Finding]:
    """Says of each experiment what the plan refuses, and what nobody measured yet."""
    if setting.config is None:
        return
    limit, gpus, _ = limits.of(setting.profile)
    rows = planning.rows(setting.config, setting.results, limit, gpus)
    for row in rows:
        for problem in row.problems:
            yield fail(f"{row.experiment}: {problem}", "make plan  shows the numbers")
    measured = [row.experiment for row in rows if row.source in ("probe", "ledger") and not row.problems]
    if measured:
        yield ok(f"fits, by what was measured: {', '.join(measured)}")
    if others := [row.experiment for row in rows if row.source not in ("probe", "ledger") and not row.problems]:
        yield warn(
            f"nobody measured whether it fits time, memory and disk: {', '.join(others)}",
            "run `snakemake plan`, a few steps on the hardware that trains",
        )
