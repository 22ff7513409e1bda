"""What a few steps of an experiment took: the file that `probe` writes and `plan` reads. Needs no torch."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from suture import files
from suture.config.training import OF_ADAPTERS, Train

SCHEMA = 1
Mode = Literal["full", "lora", "qlora"]

NOT_ASKED = frozenset({"max_steps", "steps_per_job", "save_steps", "logging_steps", "report_to", "seed"})
"""Options that change neither how long a step takes nor what it needs."""


@dataclass(frozen=True, kw_only=True)
class Memory:
    """What the longest batch takes in one way of training.

    Attributes:
        bytes: the most that is held; None where it did not fit or could not be tried.
        at_least: what weights, gradients and optimiser alone take, where that is more than there is.
        problem: why it does not fit, with what would; empty where it does.
    """

    bytes: int | None
    at_least: int | None = None
    problem: str = ""


@dataclass(frozen=True, kw_only=True)
class Timing:
    """What a few real steps took.

    Attributes:
        steps: how many were timed; the one before them was not.
        seconds_per_step: mean.
        start_seconds: from the start of the process to the first step.
        save_seconds: one save.
        validation_seconds: all validation samples once, reckoned from a few; 0 without any.
        checkpoint_bytes: size of a checkpoint with optimiser and random states.
        checkpoint_files: number of its files.
        exported_bytes: size of the base model, which an exported model has too.
    """

    steps: int
    seconds_per_step: float
    start_seconds: float
    save_seconds: float
    validation_seconds: float
    checkpoint_bytes: int
    checkpoint_files: int
    exported_bytes: int


@dataclass(frozen=True, kw_only=True)
class Probe:
    """One experiment on one machine.

    Attributes:
        asked: the options it was measured with, of those that matter.
        mode: how the experiment trains.
        device: name of the card, or of the processor.
        gpus: number of cards; 0: measured on a CPU.
        capacity_bytes: memory that the device had.
        samples: training samples.
        memory: by way of training: the experiment's own, and full training or LoRA beside it.
        timing: None where the longest batch did not fit.
    """

    experiment: str
    family: str
    asked: dict[str, Any]
    mode: Mode
    device: str
    gpus: int
    capacity_bytes: int | None
    samples: int
    memory: dict[str, Memory]
    timing: Timing | None
    host: str
    measured: str
    schema: int = SCHEMA


def asked(options: Train) -> dict[str, Any]:
    """Returns the options that a measurement depends on."""
    return {name: value for name, value in options.model_dump().items() if name in Train.model_fields} | dict.fromkeys(
        NOT_ASKED
    )


def mode_of(options: Train) -> Mode:
    """Returns how a run trains."""
    return options.adapter or "full"


def other_modes(options: Train, family: Mapping[str, Any]) -> list[Mode]:
    """Returns the way of training that a run is compared with: full training, or for that LoRA where there is any.

    Args:
        options: of the run.
        family: the constants of its module.
    """
    if options.adapter:
        return ["full"]
    return [] if "use_lora" in family.get("REFUSED", {}) else ["lora"]


def in_mode(options: Train, mode: Mode, defaults: dict[str, Any]) -> Train:
    """Returns the options of a run that trains another way, all else equal.

    Args:
        options: of the experiment.
        mode: how to train instead.
        defaults: the family's published ones, for what is LoRA's.
    """
    if mode == mode_of(options):
        return options
    values = {name: value for name, value in options.model_dump().items() if name not in OF_ADAPTERS}
    values |= {"use_lora": mode == "lora", "use_qlora": mode == "qlora"}
    if mode != "full":
        values |= {name: value for name, value in defaults.items() if name in OF_ADAPTERS}
        values |= {f"freeze_{tower}": False for tower in ("vision", "projector", "language")}
        values |= {"vision_learning_rate": None, "projector_learning_rate": None}
    return Train.model_validate(values)


def write(path: Path, probe: Probe) -> None:
    """Writes a probe's file."""
    files.write_json(path, dataclasses.asdict(probe))


def read(path: Path) -> Probe | None:
    """Reads a probe's file; None where there is none, or one of another version.

    Raises:
        InputError: it is no JSON.
    """
    if not path.is_file():
        return None
    row = files.read_json(path)
    names = {one.name for one in dataclasses.fields(Probe)}
    if not isinstance(row, dict) or row.get("schema") != SCHEMA or row.keys() != names:
        return None
    timing = row.pop("timing")
    memory = {name: Memory(**one) for name, one in row.pop("memory").items()}
    return Probe(**row, memory=memory, timing=Timing(**timing) if timing else None)


def path_of(run: Path, experiment: str) -> Path:
    """Returns where an experiment's probe lies."""
    return run / "plans" / "probe" / f"{experiment}.json"
