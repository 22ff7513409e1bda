"""Several processes that train one model: who is who, and how they agree.

Without several there is nothing to agree on, and everything here is nothing.
"""

from __future__ import annotations

import datetime
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
import torch.distributed as dist

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
