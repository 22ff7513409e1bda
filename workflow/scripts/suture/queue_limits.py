"""What a job asks for and its partition does not have: such a job is refused, or waits for ever without a word."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from suture import profiles
from suture.cluster import Partition
from suture.errors import SutureError
from suture.status import duration

SEE = 'sinfo -o "%P %l %m %c %G" lists them'


def refusals(given: Mapping[str, Any], found: Mapping[str, Partition]) -> Iterator[tuple[str, str]]:
    """Compares a job's partition, time and memory with what the cluster has.

    Args:
        given: resources by name, as Snakemake has them; of several partitions (``gpu,long``) one is enough.
        found: the cluster's partitions.

    Yields:
        What is wrong, and its cure.
    """
    names = [name.strip() for name in str(given.get("slurm_partition") or "").split(",") if name.strip()]
    wrong = [list(_one(name, given, found)) for name in names]
    if wrong and all(wrong):
        yield from wrong[0]


def _one(name: str, given: Mapping[str, Any], found: Mapping[str, Partition]) -> Iterator[tuple[str, str]]:
    if name not in found:
        yield f"there is no partition `{name}`", f"set slurm_partition to one of {', '.join(sorted(found))}; {SEE}"
        return
    partition = found[name]
    asked = profiles.minutes(given.get("runtime", 0))
    if asked and partition.minutes is not None and asked > partition.minutes:
        yield (
            f"runtime {duration(asked * 60)} is more than partition {name} allows, {duration(partition.minutes * 60)}: "
            "its jobs are refused, or wait for ever",
            f"in set-resources, set its runtime to {partition.minutes:.0f} or less, or another partition",
        )
    memory = str(given.get("mem_mb", ""))
    if memory.isdigit() and partition.mem_mb and int(memory) > partition.mem_mb:
        yield (
            f"mem_mb {memory} is more than a node of {name} has, {partition.mem_mb}",
            f"in set-resources, set its mem_mb to {partition.mem_mb} or less",
        )


def check(jobs: Iterable[tuple[str, Mapping[str, Any]]], found: Mapping[str, Partition]) -> None:
    """Refuses jobs that the queue would not take.

    Args:
        jobs: rule and resources of each.
        found: the cluster's partitions.

    Raises:
        SutureError: one asks for more than there is; it says which rule, and the cure.
    """
    for rule, given in jobs:
        for says, cure in refusals(given, found):
            raise SutureError(f"{rule}: {says}", fix=cure)
