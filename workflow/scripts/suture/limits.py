"""How long a training job may take and how many cards it gets: by profile, rule and partition."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from suture import cluster, profiles
from suture.pace import Limit
from suture.profiles import Profile

RULE = "train_segment"
RUNTIME = 600
"""Minutes that rules/train.smk gives a training job where no profile says otherwise."""


def of(
    profile: Profile | None, *, runtime: float | None = None, partition: str | None = None, gpus: int | None = None
) -> tuple[Limit, int, str]:
    """Finds how long a training job may take: its runtime, or the partition's limit where that is less.

    Args:
        profile: of `--profile`; None: none.
        runtime: minutes, in place of the profile's.
        partition: in place of the profile's.
        gpus: in place of the profile's.

    Returns:
        The limit, the cards that a job asks for, and what could not be looked up.
    """
    own: dict[str, Any] = {"runtime": RUNTIME}
    given = profile.resources(RULE, own) if profile else own
    minutes = runtime or profiles.minutes(given["runtime"]) or RUNTIME
    name = partition or given.get("slurm_partition")
    cards = gpus if gpus is not None else profiles.gpus(given) or 0
    own_limit = Limit(minutes=minutes, said_by=f"the runtime of {RULE}")
    if not name:
        return own_limit, cards, ""
    found, why = cluster.partitions()
    if name not in found:
        return own_limit, cards, _missing(name, found, why)
    most = found[name].minutes
    if most is not None and most < minutes:
        return Limit(minutes=most, said_by=f"the limit of partition {name}"), cards, ""
    return Limit(minutes=minutes, said_by=f"the runtime of {RULE} on partition {name}"), cards, ""


def _missing(name: str, found: Mapping[str, object], why: str) -> str:
    return (
        f"partition {name}: {why}" if why else f"there is no partition {name!r}; there are {', '.join(sorted(found))}"
    )
