"""Several processes that train one model: who is who, what each takes of a step, and how they agree.

Without several there is nothing to agree on, and everything here is nothing.
"""

from __future__ import annotations

import datetime
import math
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
import torch.distributed as dist

from suture.config.training import Train
from suture.errors import InputError

# What waits longest is the others while the first one writes a checkpoint, or prepares the data of all.
_PATIENCE = datetime.timedelta(hours=1)


def join() -> None:
    """Meets the other processes, which torchrun or :mod:`suture.launching` have told where; alone: nothing.

    Of several one speaks: what the others print is what the first one prints. Errors of each are seen.
    """
    if "RANK" not in os.environ or dist.is_initialized():
        return
    if torch.cuda.is_available():
        torch.cuda.set_device(int(os.environ["LOCAL_RANK"]))
    # Words between processes go over the network of the processors: they need not wait for the cards.
    dist.init_process_group("cpu:gloo,cuda:nccl" if torch.cuda.is_available() else "gloo", timeout=_PATIENCE)
    if not is_first():
        sys.stdout = Path(os.devnull).open("w", encoding="utf-8")  # noqa: SIM115 - for the rest of the process


def leave() -> None:
    """Takes leave of the others."""
    if dist.is_initialized():
        dist.destroy_process_group()


def count() -> int:
    """Returns the number of processes."""
    return dist.get_world_size() if dist.is_initialized() else 1


def rank() -> int:
    """Returns the number of this process, from 0."""
    return dist.get_rank() if dist.is_initialized() else 0


def is_first() -> bool:
    """Tells whether this process writes the files of all."""
    return rank() == 0


def wait() -> None:
    """Waits until all processes have come to this line."""
    any_of(False)


def any_of(flag: bool) -> bool:
    """Tells whether a flag is set in one of the processes; all must ask."""
    if count() == 1:
        return flag
    asked = torch.tensor([int(flag)])
    dist.all_reduce(asked, op=dist.ReduceOp.MAX)
    return bool(asked.item())


def gathered(value: Any) -> list[Any]:
    """Returns a value of each process, in their order."""
    if count() == 1:
        return [value]
    found: list[Any] = [None] * count()
    dist.all_gather_object(found, value)
    return found


@contextmanager
def first_before_others() -> Iterator[None]:
    """Lets the first process do something, and then the others, which find it done."""
    if not is_first():
        wait()
    try:
        yield
    finally:
        if is_first():
            wait()


@dataclass(frozen=True, kw_only=True)
class Share:
    """What a process takes of an optimiser step: so many batches of so many samples."""

    processes: int
    batch: int
    accumulation: int

    @property
    def words(self) -> str:
        """The share in words, for the log."""
        total = self.processes * self.batch * self.accumulation
        return (
            f"{total} samples a step = {self.processes} processes x {self.batch} a batch x {self.accumulation} batches"
        )


def share(options: Train, processes: int) -> Share:
    """Divides an optimiser step among processes so that it is the same step.

    Batches are dealt first, since they need not change; where there are too
    few of them, batches are divided.

    Args:
        options: ``batch_size`` and ``gradient_accumulation_steps`` of all processes together.
        processes: that train.

    Raises:
        InputError: the samples of a step cannot be dealt evenly.
    """
    dealt = math.gcd(options.gradient_accumulation_steps, processes)
    divided = processes // dealt
    if options.batch_size % divided:
        raise InputError(
            f"{options.samples_per_step} samples a step ({options.batch_size} a batch, "
            f"{options.gradient_accumulation_steps} batches) cannot be dealt evenly to {processes} processes",
            fix=f"a batch_size or gradient_accumulation_steps that {processes} divides, or another number of GPUs",
        )
    return Share(
        processes=processes,
        batch=options.batch_size // divided,
        accumulation=options.gradient_accumulation_steps // dealt,
    )
