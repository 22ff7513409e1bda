"""One trainer in a work folder, the one that came last.

SLURM gives up a node that does not answer and begins its jobs elsewhere; where only its daemon or its network was
gone, the first trainer lives on. Two would write the same checkpoints.
"""

from __future__ import annotations

import os
import sys
import time
from pathlib import Path
from typing import Any

from transformers import TrainerCallback, TrainerControl, TrainerState, TrainingArguments

from suture import beat, cli, files

NAME = "claim.json"
"""The file in a job's work folder that names its trainer."""


class Superseded(SystemExit):
    """Ends a trainer whose folder is another's; the ledger keeps why."""

    def __init__(self, said: str) -> None:
        super().__init__(said)
        self.code = cli.DEADLINE  # as one that may be tried again


class Claim(TrainerCallback):
    """Takes a work folder over, and ends this process once another one has done the same.

    Args:
        work_dir: the job's folder.
        patience: seconds between two looks at a trainer that was here before.
    """

    def __init__(self, work_dir: Path, *, patience: float = 1.0) -> None:
        self._work = work_dir
        self._patience = patience
        self._me = {name: value for name, value in beat.here().items() if name != "slurm"}

    def take(self) -> None:
        """Claims the folder, and returns when the trainer that was in it has ended, or is silent for too long."""
        if os.environ.get("RANK", "0") != "0":  # of several processes one claims
            return
        files.write_json(self._work / NAME, self._me)
        told = False
        while (before := self._at_work()) is not None:
            if not told:
                print(f"waiting for process {before.pid} on {before.host}, which is at work here", flush=True)
            told = True
            time.sleep(self._patience)

    def _at_work(self) -> beat.Beat | None:
        last = beat.read(self._work / beat.NAME)
        if last is None or {name: getattr(last, name) for name in self._me} == self._me:
            return None
        return last if last.life(time.time()) == "alive" else None

    def on_step_end(self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **_: Any) -> None:
        """Ends the process, with nothing saved, where the folder is another's."""
        claim = self._work / NAME
        if not state.is_world_process_zero or not claim.is_file():
            return
        if (other := files.read_json(claim)) != self._me:
            said = (
                f"another job of this training has begun (process {other['pid']} on {other['host']}): this one ends "
                f"at step {state.global_step}, with nothing of it saved"
            )
            print(said, file=sys.stderr, flush=True)
            raise Superseded(said)
