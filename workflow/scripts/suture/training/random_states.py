"""Where each process's chance stands: dropout is drawn apart in each, and goes on where it was."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
from transformers import TrainerCallback, TrainerControl, TrainerState, TrainingArguments

from suture.training import processes


def are_of(checkpoint: Path, count: int) -> bool:
    """Tells whether a checkpoint holds the random states of so many processes."""
    return len(list(checkpoint.glob("rng_state*.pth"))) == count


class RandomStates(TrainerCallback):
    """Gives each process a stream of its own where none is restored.

    The first process of a new run draws as one that is alone. A run that goes
    on in another number of processes draws anew in all of them, from seed,
    step and process: it says so, since its dropout is no longer that of the
    run that never stopped.

    Args:
        seed: of the run.
        resume: the checkpoint that it goes on from, or None.
    """

    def __init__(self, seed: int, resume: Path | None) -> None:
        self._seed = seed
        self._others = resume is not None and not are_of(resume, processes.count())
        self._new = resume is None

    def on_train_begin(self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **_: Any) -> None:
        """Draws anew where nothing will be restored."""
        if self._others:
            print(
                f"the checkpoint is of another number of processes than {processes.count()}: dropout is drawn anew",
                flush=True,
            )
        if self._others or (self._new and processes.rank() > 0):
            stream = torch.Generator().manual_seed(self._seed)
            seeds = torch.randint(2**62, (processes.count(),), generator=stream)
            torch.manual_seed(int(seeds[processes.rank()]) + state.global_step)
