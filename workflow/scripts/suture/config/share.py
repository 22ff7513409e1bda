"""What each of several processes takes of an optimiser step: the step stays the same, however many there are."""

from __future__ import annotations

import math
from dataclasses import dataclass

from suture.config.training import Train
from suture.errors import InputError


@dataclass(frozen=True, kw_only=True)
class Share:
    """The part of a process: so many batches of so many samples."""

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
    """Divides an optimiser step among processes.

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
