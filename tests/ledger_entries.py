"""Ledger entries for tests of what reads them."""

from __future__ import annotations

from typing import Any

from suture.ledger import Entry


def entry(experiment: str, segment: int, **changes: Any) -> Entry:
    """A job of two steps that took 3 GPU-hours."""
    plain: dict[str, Any] = dict.fromkeys(("reason", "code", "config", "host"), "")
    plain |= dict.fromkeys(("commit", "changed", "lock", "samples_per_second", "gpu_bytes"))
    plain |= {name: {} for name in ("versions", "inputs", "seeds", "slurm")}
    plain |= {"experiment": experiment, "segment": segment, "first_step": 2 * segment - 2, "last_step": 2 * segment}
    plain |= {"until_step": 2 * segment, "outcome": "done", "device": "A100", "gpus": 1, "threads": 1}
    plain |= {"seconds_per_step": 5400.0, "resident_bytes": 1, "wall_seconds": 10800.0, "gpu_hours": 3.0}
    plain |= {"started": "2026-11-21T12:00:00Z", "ended": "2026-11-21T15:00:00Z"}
    return Entry(**plain | changes)
