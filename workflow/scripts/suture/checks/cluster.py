"""The queue: does it have what the profile asks for. A job that can never start waits without a word."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any

from suture import cluster, profiles, queue_limits
from suture.checks.base import Finding, Setting, fail, ok, warn
from suture.checks.profile import own_resources
from suture.cluster import Partition
from suture.queue_limits import SEE


def check(setting: Setting) -> Iterator[Finding]:
    """Compares partitions, time, memory and cards with what each rule asks for."""
    if not setting.on_cluster or setting.profile is None:
        return
    if not cluster.is_here():
        yield fail("there is no sinfo here: this is no machine of the cluster", "log in to the cluster's login node")
        return
    found, why = cluster.partitions()
    if why:
        yield fail(f"the queue does not answer: {why}", "try `sinfo`; ask who runs the cluster")
        return
    problems = list(_jobs(setting, found))
    yield from problems
    if not problems:
        yield ok(f"partitions, time, memory and cards that the rules ask for are there ({', '.join(sorted(found))})")
    yield from _status(setting.profile.keys)


def _jobs(setting: Setting, found: Mapping[str, Partition]) -> Iterator[Finding]:
    """Looks at each rule's job; a problem that many rules share is said once."""
    assert setting.profile is not None
    said: dict[tuple[str, str], list[str]] = {}
    for rule, own in own_resources(setting.root).items():
        given = setting.profile.resources(rule, own)
        for says, cure in _job(given, found):
            said.setdefault((says, cure), []).append(rule)
    for (says, cure), rules in said.items():
        who = rules[0] if len(rules) == 1 else f"{rules[0]} and {len(rules) - 1} more rules"
        yield fail(f"{who}: {says}", cure)


def _job(given: Mapping[str, Any], found: Mapping[str, Partition]) -> Iterator[tuple[str, str]]:
    yield from queue_limits.refusals(given, found)
    partition = found.get(str(given.get("slurm_partition")))
    if partition is None:
        return
    if not partition.up:
        yield f"partition {partition.name} takes no jobs now", f"wait, or set another slurm_partition; {SEE}"
    yield from _cards(given, partition)


def _cards(given: Mapping[str, Any], partition: Partition) -> Iterator[tuple[str, str]]:
    wanted = profiles.gpus(dict(given)) or 0
    if wanted > partition.gpus:
        has = f"{partition.gpus} a node" if partition.gpus else "none"
        yield f"asks for {wanted} GPU, and partition {partition.name} has {has}", f"set slurm_partition or gpu; {SEE}"
    match = re.search(r"gpu:([^:,\d][^:,]*)", str(given.get("gres", "")))
    model = given.get("gpu_model") or (match[1] if match else None)
    if wanted and model and partition.gpu_models and model not in partition.gpu_models:
        yield (
            f"partition {partition.name} has no GPU called `{model}`",
            f"set gpu_model to one of {', '.join(sorted(partition.gpu_models))}",
        )


def _status(keys: Mapping[str, Any]) -> Iterator[Finding]:
    """Looks at how Snakemake learns that a job has ended."""
    if keys.get("slurm-status-command", "sacct") != "squeue":
        yield warn(
            "a cancelled job is waited for without end: sacct words it otherwise than Snakemake expects",
            "set  slurm-status-command: squeue",
        )
        return
    remembered = re.match(r"\d+", cluster.settings().get("MinJobAge", ""))
    every = int(keys.get("slurm-init-seconds-before-status-checks", 40))
    if remembered and int(remembered[0]) < 3 * every:
        yield warn(
            f"squeue forgets ended jobs after {remembered[0]} s, and Snakemake asks every {every} s or more: "
            "it then asks sacct, and waits for cancelled jobs without end",
            f"set  slurm-init-seconds-before-status-checks: {max(1, int(remembered[0]) // 3)}",
        )
