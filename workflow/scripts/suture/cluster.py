"""What the queue says of itself: its partitions and their limits, asked of sinfo and scontrol."""

from __future__ import annotations

import re
import shutil
import subprocess
from collections.abc import Mapping
from dataclasses import dataclass

PATIENCE = 20.0
"""Seconds that the queue is given to answer."""

_PARTITIONS = "%R|%a|%l|%G|%m|%c"


@dataclass(frozen=True, kw_only=True)
class Partition:
    """A queue of the cluster; of nodes that differ, the largest.

    Attributes:
        up: whether it takes jobs.
        minutes: longest job; None: no limit.
        gres: what its nodes have, as ``gpu:a100:4``.
        mem_mb: memory of a node.
        cpus: processors of a node.
    """

    name: str
    up: bool
    minutes: float | None
    gres: tuple[str, ...]
    mem_mb: int
    cpus: int

    @property
    def gpus(self) -> int:
        """Cards of the node that has most."""
        return max((_count(one) for one in self.gres), default=0)

    @property
    def gpu_models(self) -> set[str]:
        """Models of its cards, where the cluster names them."""
        named = (re.match(r"gpu:([^:()]+):\d+", one) for one in self.gres)
        return {match[1] for match in named if match}


def _count(gres: str) -> int:
    match = re.match(r"gpu(?::[^:()]+)?:(\d+)", gres)
    return int(match[1]) if match else 0


def is_here() -> bool:
    """Tells whether SLURM's commands are on PATH."""
    return shutil.which("sinfo") is not None


def ask(*command: str) -> tuple[int, str]:
    """Runs one of the queue's commands; returns its exit code and what it said, on both channels."""
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=PATIENCE, check=False)
    except subprocess.TimeoutExpired:
        return 124, f"{command[0]} did not answer in {PATIENCE:.0f} s"
    except OSError as error:
        return 127, f"{command[0]}: {error.strerror}"
    return done.returncode, (done.stdout + done.stderr).strip()


def partitions() -> tuple[dict[str, Partition], str]:
    """Asks sinfo for all partitions.

    Returns:
        Partitions by name, and why there are none: empty where there are.
    """
    if not is_here():
        return {}, "there is no sinfo here"
    code, said = ask("sinfo", "-h", "-a", "-o", _PARTITIONS)
    if code:
        return {}, f"sinfo: {said.splitlines()[-1] if said else f'exit code {code}'}"
    found: dict[str, Partition] = {}
    for line in said.splitlines():
        parts = line.strip().split("|")
        if len(parts) != len(_PARTITIONS.split("|")):
            continue
        name, up, limit, gres, memory, cpus = parts
        before = found.get(name)
        cards = [one for one in re.split(r",(?![^(]*\))", gres) if one.startswith("gpu")]
        found[name] = Partition(
            name=name,
            up=up == "up",
            minutes=minutes(limit),
            gres=tuple(sorted({*(before.gres if before else ()), *cards})),
            mem_mb=max(before.mem_mb if before else 0, _number(memory)),
            cpus=max(before.cpus if before else 0, _number(cpus)),
        )
    return found, "" if found else "sinfo names no partition"


def _number(text: str) -> int:
    match = re.match(r"\d+", text)
    return int(match[0]) if match else 0


def minutes(limit: str) -> float | None:
    """Reads a time limit as SLURM writes it (sbatch(1), --time): ``30``, ``30:00``, ``12:00:00``, ``1-00:00:00``.

    Returns:
        Minutes; None where there is no limit.

    Raises:
        ValueError: it is no time.
    """
    if limit.lower() in ("infinite", "unlimited", "n/a"):
        return None
    days, _, clock = limit.rpartition("-")
    parts = [int(part) for part in clock.split(":")]
    if days:
        hours, mins, seconds = (*parts, 0, 0)[:3]
        return int(days) * 1440 + hours * 60 + mins + seconds / 60
    if len(parts) == 3:
        return parts[0] * 60 + parts[1] + parts[2] / 60
    return parts[0] + (parts[1] / 60 if len(parts) == 2 else 0)


def settings() -> Mapping[str, str]:
    """Asks scontrol for the controller's settings; empty where it gives none."""
    code, said = ask("scontrol", "show", "config") if shutil.which("scontrol") else (127, "")
    lines = (line.split("=", 1) for line in said.splitlines() if "=" in line) if code == 0 else []
    return {name.strip(): value.strip() for name, value in lines}
