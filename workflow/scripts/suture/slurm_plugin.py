"""What Snakemake's SLURM plugin (2.8.0) does not know of the queue, put right: it would wait for ever, or give up.

Its names that are replaced are functions of its module; `tests/unit/test_slurm_plugin.py` fails where another
version has them no more.
"""

from __future__ import annotations

import asyncio
import shlex
import sys
from collections.abc import Awaitable, Callable
from importlib import import_module
from pathlib import Path
from typing import Any

States = dict[str, str]
Query = Callable[[str, Any], Awaitable[tuple[States | None, float | None]]]

SBATCH = Path(__file__).with_name("patient_sbatch.sh")

LOST = frozenset({"PREEMPTED", "NODE_FAIL"})
"""States in which a job ended that SLURM may put back into the queue at once, or not."""

ENDED = LOST | {"BOOT_FAIL", "CANCELLED", "COMPLETED", "DEADLINE", "FAILED", "OUT_OF_MEMORY", "TIMEOUT", "REVOKED"}

_AGAIN = 3.0
"""Seconds until a second look at a job that was lost."""


class Watch:
    """States of jobs in the words that the plugin knows.

    - ``CANCELLED by 1000``, as sacct has it, is ``CANCELLED``.
    - ``PREEMPTED``: the plugin takes such a job for running. One that SLURM does not put back has failed.
    - ``NODE_FAIL``: of a job that SLURM puts back the plugin would forbid the node, in words that sbatch cannot read.
    - A job that was seen and is no longer known, as squeue forgets ended ones, has ended: Snakemake then looks
      whether its files are there.
    """

    def __init__(self, query: Query, *, again: float = _AGAIN, say: Callable[[str], None] | None = None) -> None:
        self._query, self._again, self._say = query, again, say or _print
        self._seen: States = {}
        self._missing: set[str] = set()
        self._lost: set[str] = set()

    async def __call__(self, command: str, logger: Any) -> tuple[States | None, float | None]:
        """Asks for all jobs' states, as ``query_job_status`` of the plugin."""
        found, seconds = await self._query(command, logger)
        if found is None:
            return None, None
        states = {job: state.split()[0] if state.strip() else state for job, state in found.items()}
        states |= {job: "FAILED" for job, state in states.items() if state in LOST and job in self._lost}
        if any(state in LOST for state in states.values()):
            await asyncio.sleep(self._again)
            later, _ = await self._query(command, logger)
            for job in [job for job, state in states.items() if state in LOST]:
                now = ((later or {}).get(job) or "").split()
                states[job] = self._give_up(job, states[job]) if now[:1] == [states[job]] else (now or ["PENDING"])[0]
        missing = {job for job, state in self._seen.items() if state not in ENDED} - states.keys()
        for job in missing & self._missing:
            self._say(f"SLURM no longer knows job {job}: it has ended, and its files say how")
            states[job] = "UNKNOWN"
            del self._seen[job]
        self._missing = missing
        self._seen |= {job: state for job, state in states.items() if state != "UNKNOWN"}
        return states, seconds

    def _give_up(self, job: str, state: str) -> str:
        self._lost.add(job)
        why = "preempted and not put back into the queue" if state == "PREEMPTED" else "lost with its node"
        self._say(f"SLURM job {job} was {why}: it counts as failed")
        return "FAILED"


def correct(plugin: Any = None) -> None:
    """Puts both right in this process: the states of jobs, and submitting while the controller is restarted."""
    plugin = plugin or import_module("snakemake_executor_plugin_slurm")
    submit = plugin.get_submit_command
    plugin.query_job_status = Watch(plugin.query_job_status)

    def patient(*args: Any, **kwargs: Any) -> str:
        return f"sh {shlex.quote(str(SBATCH))} {submit(*args, **kwargs).removeprefix('sbatch ')}"

    plugin.get_submit_command = patient


def _print(text: str) -> None:
    print(text, file=sys.stderr, flush=True)
