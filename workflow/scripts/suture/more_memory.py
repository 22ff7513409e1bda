"""A job that ran out of memory is queued again with more."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

MORE = 1.5
"""How much more, each time."""

RAN_OUT = re.compile(r"(?mi)^(?:slurmstepd|srun)[^:\s]*: error: .*(?:\boom|out of memory|exceeded memory limit)")
"""What SLURM's own programs write into a job's log: of cgroups, of their own watch, of a step that died."""


def times(logs: Path, rule: str, wildcards: Sequence[str], *, since: float) -> int:
    """Counts the jobs of a rule that ran out of memory, by their logs.

    Args:
        logs: folder of the SLURM plugin's logs: ``rule_NAME/WILDCARDS/ID.log``.
        since: logs from before this moment, on ``time.time``'s clock, are of earlier runs.
    """
    folder = logs / f"rule_{rule}" / "_".join(wildcards).replace("/", "_")
    found = [path for path in folder.glob("*.log") if path.stat().st_mtime >= since]
    return sum(bool(RAN_OUT.search(path.read_text(encoding="utf-8", errors="replace"))) for path in found)


def grow(workflow: Any, *, since: float) -> None:
    """Has each retry after a job that ran out of memory ask for half as much again, whatever profile or rule ask for.

    Args:
        workflow: Snakemake's, in its main process, all rules read.
        since: see :func:`times`.
    """
    for rule in workflow.rules:
        asked = rule.resources.get("mem_mb")
        if asked.name:
            rule.resources["mem_mb"] = type(asked)("mem_mb", _grown(workflow, rule.name, asked, since), raw=asked.raw)


def _grown(workflow: Any, rule: str, asked: Any, since: float) -> Any:
    def mem_mb(wildcards: Any, input: Any, attempt: int, threads: int, rulename: str, async_run: Any) -> Any:
        given = {"input": input, "attempt": attempt, "threads": threads, "rulename": rulename, "async_run": async_run}
        first = asked.evaluate(wildcards, **given).value if asked.is_evaluable() else asked.value
        if attempt == 1 or not isinstance(first, int):
            return first
        logs = getattr(workflow.executor_settings, "logdir", None) or ".snakemake/slurm_logs"
        return round(first * MORE ** times(Path(logs), rule, list(wildcards), since=since))

    return mem_mb
