"""What is done before a run begins: nobody else makes it, here or in the queue, and the queue can take its jobs.

A Snakefile is read before Snakemake knows where jobs will run, and ``onstart`` comes when it has looked at all files
and taken its lock. What must come between is put before ``Workflow.execute``, which is called once for a run or a
dry run and for nothing else.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from suture import cluster, orphans, purged, queue_limits, run_lock, slurm_plugin
from suture.errors import SutureError


def before_execution(workflow: Any, run: str, *, way: object, error: type[Exception]) -> None:
    """Has a run begin only after everything is in order.

    Args:
        workflow: Snakemake's, in its main process.
        run: name of the run.
        way: what becomes of the jobs of a Snakemake that was killed: ``cancel`` or ``wait``.
        error: what Snakemake shows in one line.
    """
    execute = workflow.execute

    def prepared(*args: Any, executor_plugin: Any, executor_settings: Any = None, **kwargs: Any) -> Any:
        # `--nolock` says that the person knows better.
        if not executor_plugin.common_settings.dryrun_exec and workflow.execution_settings.lock:
            try:
                _prepare(run, executor_plugin.name, executor_settings, orphans.way_of(way))
            except SutureError as problem:
                raise error(str(problem)) from None
        try:
            return execute(*args, executor_plugin=executor_plugin, executor_settings=executor_settings, **kwargs)
        except purged.CacheFirst:
            # Snakemake's own lock is free again.
            run_lock.release()
            os.environ.pop(orphans.MARK, None)
        try:
            purged.make_and_begin_again()
        except SutureError as problem:
            raise error(str(problem)) from None

    workflow.execute = prepared


def _prepare(run: str, executor: str, settings: Any, way: orphans.Way) -> None:
    queues = executor == "slurm"
    name = orphans.queue_name(settings.jobname_prefix, run) if queues else ""
    taken = run_lock.take(run, queue_name=name)
    before = taken.before
    if before and before.host == taken.me.host:
        orphans.settle_here(before.token, way)
    names = {name} if queues else set()
    if before and before.queue_name and cluster.is_here():
        names.add(before.queue_name)
    for one in sorted(names):
        orphans.settle_queue(one, Path.cwd(), way, certain=taken.certain)
    if before:
        run_lock.forget_snakemakes_own(run)
    os.environ[orphans.MARK] = taken.me.token
    if queues:
        settings.jobname_prefix = name
        slurm_plugin.correct()


def check_limits(jobs: Iterable[tuple[str, Mapping[str, Any]]]) -> None:
    """Compares what jobs ask for with the queue's partitions, where it says what they are.

    Raises:
        SutureError: a job could never start.
    """
    found, _ = cluster.partitions()
    if found:
        queue_limits.check(jobs, found)
