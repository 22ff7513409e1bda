"""Times a few real steps of an experiment, and tries what its longest batch takes, in one way of training."""

from __future__ import annotations

import dataclasses
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from transformers import TrainerCallback, TrainerControl, TrainerState, TrainingArguments

from suture import machine, model_folder
from suture.config.training import Train
from suture.errors import InputError
from suture.features import arithmetic_of
from suture.frame_draws import Sampling
from suture.models.base import VideoModel
from suture.probing import Memory, Timing
from suture.training import inputs, loop, processes
from suture.training.callbacks import StopInTime
from suture.training.inputs import Files, Inputs
from suture.training.memory import in_gib, is_out_of_memory, meter
from suture.training.probe import Probe

STEPS = 5
"""Steps that are timed; one before them is not: it makes the optimiser and warms the libraries up."""

VALIDATED = 2
"""Batches of validation samples that are timed."""

ADAM = 16
"""Bytes that full training holds for each parameter: single-precision weight, gradient, and AdamW's two numbers."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class Measured:
    """What was found of one way of training; ``timing`` is None where only memory was asked for, or it does not fit."""

    memory: Memory
    timing: Timing | None
    capacity_bytes: int
    device: str
    gpus: int
    samples: int


class Clock(TrainerCallback):
    """Notes when each step, validation and save was done."""

    def __init__(self) -> None:
        self.steps: list[float] = []
        self.validated: float | None = None
        self.saved: float | None = None

    def on_log(
        self,
        args: TrainingArguments,
        state: TrainerState,
        control: TrainerControl,
        logs: dict[str, float] | None = None,
        **_: Any,
    ) -> None:
        """Here the loss has been read: the device is done with the step."""
        if logs and "loss" in logs:
            self.steps.append(time.monotonic())

    def on_evaluate(self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **_: Any) -> None:
        """The validation loss is known."""
        self.validated = time.monotonic()

    def on_save(self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **_: Any) -> None:
        """The checkpoint is written."""
        self.saved = time.monotonic()


def device() -> torch.device:
    """Returns what training would run on here."""
    return torch.device("cuda" if torch.cuda.is_available() else "cpu")


def measure(
    family: str,
    options: Train,
    files: Files,
    *,
    steps: int | None,
    work_dir: Path,
    began: float,
    sampling: Sampling | None = None,
    classes: Sequence[str] | None = None,
    told: str | None = None,
) -> Measured:
    """Measures one way of training.

    Args:
        family: model family.
        options: how to train.
        files: of the experiment.
        steps: how many to time; None: only the memory of the longest batch is wanted.
        work_dir: gets a checkpoint.
        began: moment on ``time.monotonic``'s clock at which the process started.
        sampling: how frames are drawn.
        classes: of a classifier.
        told: what the prompt says beside a question; None: what the model says.

    Returns:
        What was found. What does not fit is an answer, not an error.

    Raises:
        InputError: the data cannot be learnt from.
    """
    capacity = meter(device()).capacity()
    found: dict[str, Any] = {
        "capacity_bytes": capacity,
        "device": ", ".join(sorted(set(machine.gpus()))) or machine.cpu(),
        "gpus": processes.count() if machine.gpus() else 0,
        "samples": 0,
        "timing": None,
    }
    least = ADAM * model_folder.count_parameters(files.base) if not (options.adapter or options.frozen) else 0
    if options.fsdp:
        least //= processes.count()
    if least > capacity:
        problem = f"weights, gradients and optimiser alone take {in_gib(least)}, there are {in_gib(capacity)}"
        return Measured(**found | {"memory": Memory(bytes=None, at_least=least, problem=problem)})
    try:
        loaded = inputs.load(family, options, files, told, sampling=sampling, classes=classes)
        found["samples"] = len(loaded.train)
        if steps is None:
            return Measured(**found | {"memory": Memory(bytes=_longest(loaded, options))})
        return _steps(loaded, options, files, steps=steps, work_dir=work_dir, began=began, found=found)
    except InputError as error:
        # The probe's own refusal, which says what would fit.
        if not error.problem.startswith("out of memory"):
            raise
        problem = f"{error.problem}; {error.fix}"
    except Exception as error:
        if not is_out_of_memory(error):
            raise
        problem = f"the model alone does not fit {in_gib(capacity)}"
    return Measured(**found | {"memory": Memory(bytes=None, problem=" ".join(problem.split()))})


def _longest(loaded: Inputs, options: Train) -> int:
    """Returns the bytes that the longest batch takes."""
    model: VideoModel = loaded.model
    loop.prepare(model, options)
    module: Any = model.model
    module.to(device())
    if options.gradient_checkpointing:
        model.model.activation_checkpointing_enable(activation_checkpointing_kwargs=loop.CHECKPOINTING)

    def loss(batch: dict[str, torch.Tensor]) -> torch.Tensor:
        moved = {name: tensor.to(device()) for name, tensor in batch.items()}
        with arithmetic_of(options.precision, device()):
            return model.loss(model.model, moved, None)

    probe = Probe(model, options, samples=loaded.train, lengths=loaded.lengths, cache=loaded.cache, loss=loss)
    probe.run()
    return int(probe.taken or 0)


def _steps(
    loaded: Inputs, options: Train, files: Files, *, steps: int, work_dir: Path, began: float, found: dict[str, Any]
) -> Measured:
    """Trains a few steps as the run itself would, saves, and looks at the clock."""
    total = steps + 1
    part = loaded.val[: VALIDATED * options.batch_size]
    changes: dict[str, Any] = {"max_steps": total, "steps_per_job": total, "save_steps": total, "report_to": "none"}
    changes |= dict.fromkeys(("eval_steps", "early_stopping_patience", "plateau_steps")) | {"keep_best": False}
    clock, output = Clock(), work_dir / "checkpoint"
    outcome = loop.train(
        options.model_copy(update=changes),
        loop.Segment(experiment="probe", until_step=total, resume=None, output=output, work_dir=work_dir / "progress"),
        model=loaded.model,
        data=loop.Data(
            train=loaded.train,
            val=part,
            cache=loaded.cache,
            lengths=loaded.lengths,
            shape=loaded.shape,
            rounds=loaded.rounds,
        ),
        identity=loop.Identity(run={"probe": True}, job={"probe": True}),
        card={"family": "probe"},
        stop=StopInTime(None),
        callbacks=[clock],
    )
    last, saved = clock.steps[-1], clock.saved or clock.steps[-1]
    validated = clock.validated or last
    written = [path for path in output.rglob("*") if path.is_file()]
    held = machine.peak_gpu_bytes() if found["gpus"] else machine.peak_resident_bytes()
    return Measured(
        **found
        | {
            "memory": Memory(bytes=max(outcome.longest_bytes or 0, held or 0)),
            "capacity_bytes": outcome.capacity_bytes or found["capacity_bytes"],
            "timing": Timing(
                steps=steps,
                seconds_per_step=(last - clock.steps[0]) / steps,
                start_seconds=clock.steps[0] - began,
                save_seconds=saved - validated,
                validation_seconds=(validated - last) * len(loaded.val) / len(part) if part else 0.0,
                checkpoint_bytes=sum(path.stat().st_size for path in written),
                checkpoint_files=len(written),
                exported_bytes=sum(path.stat().st_size for path in files.base.rglob("*") if path.is_file()),
            ),
        }
    )
