"""What the GPUs of a job did, seen through nvidia-smi while it ran.

One nvidia-smi is started and prints a line for each card every few seconds; a thread reads along. NVML would need a
package more (torch's functions too), and the program is where the driver is.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import threading
from dataclasses import dataclass, field

EVERY = 2
"""Seconds between two looks."""

FIELDS = ("uuid", "name", "memory.total", "memory.used", "utilization.gpu")


@dataclass(frozen=True, kw_only=True)
class Card:
    """One GPU during a job.

    Attributes:
        looks: how often it was looked at.
        busy: share of the time, 0 to 1, in which it worked at all, whether on one core or on all; None where the driver
            does not say (a part of a card, MIG).
        peak_bytes: most memory held on it, by whomever.
        total_bytes: its memory.
    """

    name: str
    looks: int
    busy: float | None
    peak_bytes: int
    total_bytes: int


@dataclass
class _Seen:
    name: str
    total: int
    peak: int = 0
    looks: int = 0
    busy: list[float] = field(default_factory=list)


class GpuWatch:
    """Looks at the cards from :meth:`start` to :meth:`stop`."""

    def __init__(self, process: subprocess.Popen[str]) -> None:
        self._process = process
        self._seen: dict[str, _Seen] = {}
        self._thread = threading.Thread(target=self._read, name="gpu-watch", daemon=True)
        self._thread.start()

    @classmethod
    def start(cls) -> GpuWatch | None:
        """Starts looking; None where there is no nvidia-smi, or the job has no card."""
        program, cards = shutil.which("nvidia-smi"), visible(os.environ.get("CUDA_VISIBLE_DEVICES"))
        if program is None or cards == []:
            return None
        which = [f"--id={','.join(cards)}"] if cards else []
        query = [f"--query-gpu={','.join(FIELDS)}", "--format=csv,noheader,nounits", f"--loop={EVERY}"]
        try:
            process = subprocess.Popen(
                [program, *which, *query],
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=subprocess.DEVNULL,
                text=True,
                errors="replace",
            )
        except OSError:
            return None  # as on a node whose nvidia-smi is of another architecture: no numbers, no harm
        return cls(process)

    def stop(self) -> list[Card]:
        """Ends it and returns what each card did; without those that never answered."""
        self._process.terminate()
        try:
            self._process.wait(timeout=5)
        except subprocess.TimeoutExpired:  # it hangs in a driver that does; the job does not
            self._process.kill()
        self._thread.join(timeout=5)
        return [
            Card(
                name=one.name,
                looks=one.looks,
                busy=round(sum(one.busy) / len(one.busy) / 100, 3) if one.busy else None,
                peak_bytes=one.peak,
                total_bytes=one.total,
            )
            for one in self._seen.values()
        ]

    def _read(self) -> None:
        assert self._process.stdout is not None
        for line in self._process.stdout:
            self._take(line)

    def _take(self, line: str) -> None:
        cells = [cell.strip() for cell in line.split(",")]
        if len(cells) != len(FIELDS):
            return  # "No devices were found", and other sentences
        uuid, name, total, used, busy = cells
        held, has, share = _number(used), _number(total), _number(busy)
        if held is None or has is None:
            return
        card = self._seen.setdefault(uuid, _Seen(name=name, total=round(has * 2**20)))  # MiB
        card.looks += 1
        card.peak = max(card.peak, round(held * 2**20))
        if share is not None:
            card.busy.append(share)


def _number(text: str) -> float | None:
    """Reads a value; the driver writes ``[N/A]`` or ``[Not Supported]`` where it has none."""
    try:
        return float(text)
    except ValueError:
        return None


def visible(devices: str | None) -> list[str] | None:
    """Reads CUDA_VISIBLE_DEVICES as cards for nvidia-smi, which takes no notice of it by itself.

    Returns:
        None: all cards. Otherwise their numbers or UUIDs, up to the first that is none, as CUDA reads it (CUDA C
        Programming Guide, "Environment Variables"); parts of a card (MIG) have no numbers of their own.
    """
    if devices is None:
        return None
    found: list[str] = []
    for one in map(str.strip, devices.split(",")):
        if not (one.isdigit() or one.startswith("GPU-")):
            break
        found.append(one)
    return found
