"""A cache that is gone, and results on it that are there: the cache first, or Snakemake makes both anew.

Snakemake cannot know before a cache is made again that it will be what it was. Once it is there, checksums say so, and
what was made of it stays.
"""

from __future__ import annotations

import sys
from collections import Counter
from pathlib import Path
from typing import Any

CACHES = ("cache_frames", "cache_features")
LASTING = ("train_segment", "predict", "probe")
"""What takes GPU-hours."""


def refusal(workflow: Any) -> str | None:
    """Says what to do first; None where nothing is gone, or nothing would be made anew for that.

    Args:
        workflow: Snakemake's, with its DAG made.
    """
    dag = workflow.dag
    # A dry run has "finished" them all when it ends.
    needed = list(dag.needrun_jobs(exclude_finished=False))
    gone = [job for job in needed if job.rule.name in CACHES and _is_gone(workflow, job)]
    again = {str(path) for job in gone for path in job.output}
    made = [
        job
        for job in needed
        if job.rule.name in LASTING
        and all(Path(str(path)).exists() for path in job.output)
        and any(str(path) in again for path in dag.reason(job).updated_input_run)
    ]
    if not made:
        return None
    counted = Counter(job.rule.name for job in made)
    return (
        f"the cache of {len(gone)} shard{'' if len(gone) == 1 else 's'} is gone; to make it in the same run would make "
        f"anew what was made of it ({', '.join(f'{rule} {number}' for rule, number in sorted(counted.items()))})\n"
        "  first:    snakemake cache     (with this run's options; it makes what is missing, and nothing else)\n"
        "  then:     this command; what is the same by its checksums stays\n"
        "  or:       the same command with  --config confirm=yes"
    )


def tell(workflow: Any) -> None:
    """Prints the same at the end of a dry run, below the jobs that it is about."""
    if workflow.dryrun and workflow.dag and (problem := refusal(workflow)):
        print(f"\n{problem}", file=sys.stderr)


def _is_gone(workflow: Any, job: Any) -> bool:
    """Tells a cache that was there from one that is yet to be made, by what Snakemake keeps of each file it made."""
    return any(not Path(str(path)).exists() and workflow.persistence.metadata(path) is not None for path in job.output)
