"""A cache that is gone, and results on it that are there: the cache first, or Snakemake makes both anew.

Snakemake cannot know before a cache is made again that it will be what it was. Once it is there, checksums say so, and
what was made of it stays. So a run that finds this makes the cache by a run of its own, and then begins once more.
"""

from __future__ import annotations

import os
import subprocess
import sys
from collections import Counter
from pathlib import Path
from typing import Any, NoReturn

from suture import machine
from suture.errors import SutureError

CACHES = ("cache_frames", "cache_features")
LASTING = ("train_segment", "predict", "probe")
"""What takes GPU-hours."""
_BEGUN = "SUTURE_CACHE_FIRST"
"""Stands in the environment of the run that makes the cache, and of the one that begins after it."""


class CacheFirst(Exception):
    """This run is to begin once more when its cache is there. No error: nobody sees it."""


def look(workflow: Any, *, confirmed: bool) -> None:
    """Stops a run that would make results anew only because their cache is gone.

    Args:
        workflow: Snakemake's, with its DAG made.
        confirmed: it may do so where nothing else helps.

    Raises:
        CacheFirst: the cache can be made first.
        SutureError: that was tried, and did not help.
    """
    found = _found(workflow)
    begun = os.environ.pop(_BEGUN, None)
    if found is None:
        return
    if not begun:
        print(f"{found}. The cache is made first, by a run of its own", file=sys.stderr, flush=True)
        raise CacheFirst
    if not confirmed:
        raise SutureError(
            f"{found}, and without that the cache cannot be made",
            fix="the same command with  --config confirm=yes  makes both",
        )


def tell(workflow: Any) -> None:
    """Says at the end of a dry run, below the jobs that it is about, which of them will not be made."""
    if workflow.dryrun and workflow.dag and (found := _found(workflow)):
        print(f"\n{found}. The run makes the cache first; if it is the same, they stay", file=sys.stderr)


def make_and_begin_again() -> NoReturn:
    """Makes what is missing of the caches, by the same command, and becomes that command anew.

    Raises:
        SutureError: the cache could not be made.
    """
    environment = os.environ | {_BEGUN: "yes"}
    this = [sys.executable, "-m", "snakemake", *sys.argv[1:]]
    # What stands behind -- are targets. Of two --until the last one counts.
    end = this.index("--") if "--" in this else len(this)
    first = [*this[:end], "--until", *CACHES, *this[end:]]
    sys.stdout.flush()
    if code := subprocess.run(first, env=environment, check=False, preexec_fn=machine.end_with_parent).returncode:
        raise SutureError(f"the cache could not be made again: its run ended with {code}", fix="see above")
    os.execve(sys.executable, this, environment)


def _found(workflow: Any) -> str | None:
    """Says what is gone, and what would be made anew for no other reason; None where there is no such thing."""
    dag = workflow.dag
    # A dry run has "finished" them all when it ends.
    needed = list(dag.needrun_jobs(exclude_finished=False))
    gone = [job for job in needed if job.rule.name in CACHES and _is_gone(workflow, job)]
    again = {str(path) for job in gone for path in job.output}
    made = Counter(
        job.rule.name
        for job in needed
        if job.rule.name in LASTING
        and all(Path(str(path)).exists() for path in job.output)
        and _only_by(dag.reason(job), again)
    )
    if not made:
        return None
    shards = f"{len(gone)} shard{'' if len(gone) == 1 else 's'}"
    results = ", ".join(f"{rule} {number}" for rule, number in sorted(made.items()))
    return f"The cache of {shards} is gone, and what was made of it would be made anew: {results}"


def _is_gone(workflow: Any, job: Any) -> bool:
    """Tells a cache that was there from one that is yet to be made, by what Snakemake keeps of each file it made."""
    return any(not Path(str(path)).exists() and workflow.persistence.metadata(path) is not None for path in job.output)


def _only_by(reason: Any, again: set[str]) -> bool:
    """Whether a job is made for the cache and for nothing that the job itself is stale by."""
    stale = (
        reason.forced
        or reason.params_changed
        or reason.code_changed
        or reason.input_changed
        or reason.software_stack_changed
        or reason.updated_input
        or reason.incomplete_output
    )
    return not stale and any(str(path) in again for path in reason.updated_input_run)
