"""How long an experiment trains and in which jobs, where a config may leave it to `snakemake plan`.

The shape of the DAG must be known when the Snakefile is read. A number of
epochs is one of steps only when the split is made, and how many steps fit a
job is known only when they were timed. Both are then taken from
``results/<run>/plans/<experiment>.json``; until it is there, the experiment is
open: the DAG holds its data, its probe and its plan, and no training.
"""

from __future__ import annotations

import copy
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Any

from pydantic import BeforeValidator, Field, WithJsonSchema, model_validator

from suture import files
from suture.config.training import Train
from suture.errors import InputError

OPEN = 0
"""Stands for a number of steps that is not known yet."""

SCHEMA = 1


def _auto(value: Any) -> Any:
    return OPEN if value == "auto" else value


class Schedule(Train):
    """Training options of a config: as :class:`Train`, but steps and jobs may be left to the plan."""

    max_steps: int = Field(
        OPEN,
        ge=0,
        description="Optimiser steps of the whole run; the schedule ends here. Give this or `epochs`.",
        examples=[400],
    )
    epochs: float | None = Field(
        None,
        gt=0,
        description="Passes over the training samples, in place of `max_steps`: turned into steps by `snakemake plan`, "
        "once the split is made.",
    )
    steps_per_job: Annotated[
        int,
        BeforeValidator(_auto),
        WithJsonSchema({"anyOf": [{"type": "integer", "minimum": 1}, {"const": "auto"}]}),
    ] = Field(
        ge=0,
        description="Optimiser steps of one job: the run is a chain of jobs that each fit the queue's limit. `auto`: "
        "as many as fit, by what `snakemake plan` measures.",
        examples=[200],
    )

    @model_validator(mode="after")
    def _has_a_length(self) -> Schedule:
        if (self.max_steps == OPEN) == (self.epochs is None):
            raise ValueError("give exactly one of `max_steps` and `epochs`: for example  max_steps: 400")
        return self

    @property
    def is_open(self) -> bool:
        """Whether `snakemake plan` must be asked before anything can be trained."""
        return OPEN in (self.max_steps, self.steps_per_job)


@dataclass(frozen=True, kw_only=True)
class Plan:
    """What `snakemake plan` settled for an experiment.

    Attributes:
        asked: the keys of ``train`` that it is an answer to.
        max_steps: optimiser steps of the run.
        borders: the last step of each job, in order.
        samples: training samples that an epoch was counted by; None where no epochs were asked for.
    """

    asked: dict[str, Any]
    max_steps: int
    borders: list[int]
    samples: int | None
    schema: int = SCHEMA


@dataclass(frozen=True, kw_only=True)
class Settled:
    """A config with its plans put in, the plans by experiment, and why others are still open."""

    raw: dict[str, Any]
    plans: dict[str, Plan] = field(default_factory=dict)
    waiting: dict[str, str] = field(default_factory=dict)


ASKED = ("epochs", "max_steps", "steps_per_job", "batch_size", "gradient_accumulation_steps")


def asked(train: Mapping[str, Any]) -> dict[str, Any]:
    """Returns what of an experiment's ``train`` a plan depends on, with the defaults in."""
    return {name: train.get(name, Schedule.model_fields[name].get_default()) for name in ASKED}


def is_open(train: Any) -> bool:
    """Tells whether the ``train`` of a config, as written, leaves steps or jobs to the plan."""
    return isinstance(train, dict) and (train.get("epochs") is not None or train.get("steps_per_job") == "auto")


def path_of(run: Path, experiment: str) -> Path:
    """Returns where an experiment's plan lies."""
    return run / "plans" / f"{experiment}.json"


def read(path: Path) -> Plan | None:
    """Reads a plan; None where there is none, or one of another version.

    Raises:
        InputError: it is no JSON.
    """
    if not path.is_file():
        return None
    row = files.read_json(path)
    if not isinstance(row, dict) or row.get("schema") != SCHEMA:
        return None
    return Plan(**{name: row[name] for name in Plan.__dataclass_fields__})


def settle(raw: Mapping[str, Any], run: Path) -> Settled:
    """Puts plans in the place of ``epochs`` and ``steps_per_job: auto``.

    Args:
        raw: the configuration as written; nothing in it need be right.
        run: the folder of the run.

    Returns:
        The configuration with numbers where a plan of these settings is there. An open experiment stays as it is.
    """
    settled = Settled(raw=copy.deepcopy(dict(raw)))
    experiments = settled.raw.get("experiments")
    for name, one in experiments.items() if isinstance(experiments, dict) else ():
        train = one.get("train") if isinstance(one, dict) else None
        if not isinstance(train, dict) or not is_open(train):
            continue
        plan = read(path_of(run, name))
        if plan is None:
            settled.waiting[name] = "not planned yet"
        elif plan.asked != asked(train):
            settled.waiting[name] = "planned for other settings"
        elif (samples := _samples(run)) is not None and plan.samples not in (None, samples):
            settled.waiting[name] = f"planned for {plan.samples:,} training samples, there are {samples:,}"
        else:
            train.pop("epochs", None)
            train["max_steps"] = plan.max_steps
            train["steps_per_job"] = max(
                after - before for before, after in zip([0, *plan.borders], plan.borders, strict=False)
            )
            settled.plans[name] = plan
    return settled


def _samples(run: Path) -> int | None:
    """Counts the training samples of a finished split; None without one."""
    counts = run / "manifests" / "split" / "split.json"
    if not counts.is_file():
        return None
    try:
        return int(files.read_json(counts)["counts"]["train"]["samples"])
    except (KeyError, TypeError, InputError):
        return None


def borders(max_steps: int, steps_per_job: int) -> list[int]:
    """Returns the last step of each job of a run."""
    return [*range(steps_per_job, max_steps, steps_per_job), max_steps]
