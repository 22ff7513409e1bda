"""What the experiments of a config stand for in the DAG: their repeats, and the models they are compared with.

An experiment with ``seeds`` or ``folds`` is one experiment for each of them,
named ``NAME.seed-42``, ``NAME.fold-0`` or ``NAME.seed-42.fold-0``. Beside an
experiment, a baseline that answers questions is asked them under the name
``NAME.blind``, ``NAME.shuffled``, ``NAME.still`` or ``NAME.zero_shot``.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

from suture.config.scoring import ANSWERING, Baseline

if TYPE_CHECKING:
    from suture.config.experiment import Experiment
    from suture.config.model import Config

# What of training is about the video alone.
_OF_VIDEO: dict[str, Any] = {
    "augment": False,
    "lora_vision_targets": None,
    "vision_learning_rate": None,
    "projector_learning_rate": None,
}


@dataclass(frozen=True, kw_only=True)
class Asked:
    """A model that is asked the questions.

    ``of`` is the experiment that the answers are scored for, ``experiment``
    says how the asked model is made; ``model`` is its folder among the models,
    ``video`` what it is shown.
    """

    of: str
    experiment: Experiment
    model: str
    video: Literal["real", "shuffled", "still", "none"] = "real"


def repeats(config: Config) -> dict[str, list[str]]:
    """Returns the names of each repeated experiment's runs."""
    return {
        name: [run for run, _ in _runs(name, one.seeds, one.folds)]
        for name, one in config.experiments.items()
        if one.seeds or one.folds
    }


def multiplied(raw: Mapping[str, Any]) -> dict[str, Any]:
    """Returns a configuration, as written, with each repeated experiment as its runs.

    ``raw`` was checked before. A run keeps its fold in ``folds``, which then is one.
    """
    experiments: dict[str, Any] = {}
    for name, one in (raw.get("experiments") or {}).items():
        for run, (seed, fold) in _runs(name, one.get("seeds"), one.get("folds")):
            made = {key: value for key, value in one.items() if key not in ("seeds", "folds")}
            if before := one.get("init_from"):
                start = raw["experiments"][before]
                made["init_from"] = _start(name, seed, fold, before, start.get("seeds"), start.get("folds"))
            if seed is not None:
                made["train"] = {**made["train"], "seed": seed}
            if fold is not None:
                made["folds"] = [fold]
            experiments[run] = made
    return {**raw, "experiments": experiments}


def check(config: Config) -> None:
    """Refuses names that mean two things, and repeats that would start from a model that saw their test cases.

    Raises:
        ValueError: naming the experiment.
    """
    for name, runs in repeats(config).items():
        if taken := sorted(set(runs) & set(config.experiments) - {name}):
            raise ValueError(f"experiments.{taken[0]}: so is a repeat of {name} called")
    for name, one in config.experiments.items():
        if one.init_from is not None:
            start = config.experiments[one.init_from]
            for _, (seed, fold) in _runs(name, one.seeds, one.folds):
                _start(name, seed, fold, one.init_from, start.seeds, start.folds)
    asked(config.experiments)


def _start(
    name: str, seed: int | None, fold: int | None, before: str, seeds: Iterable[int] | None, folds: Iterable[int] | None
) -> str:
    """Returns the run that a run starts from: that with its seed, where there are some, and with its fold.

    Raises:
        ValueError: there is none. Of another fold it would have learnt from the cases that are tested.
    """
    wanted = {(seed if seeds else None, fold)}
    found = [run for run, repeat in _runs(before, seeds, folds) if repeat in wanted]
    if not found:
        raise ValueError(
            f"experiments.{name}.init_from: repeat {before!r} over the same folds, and over its seeds or over none"
        )
    return found[0]


def _runs(
    name: str, seeds: Iterable[int] | None, folds: Iterable[int] | None
) -> list[tuple[str, tuple[int | None, int | None]]]:
    """Returns the runs of an experiment: name, and seed and fold, None where it is not repeated over them."""
    found = []
    none: list[int | None] = [None]
    for seed, fold in itertools.product(seeds or none, folds or none):
        parts = [name, *([f"seed-{seed}"] if seed is not None else []), *([f"fold-{fold}"] if fold is not None else [])]
        found.append((".".join(parts), (seed, fold)))
    return found


def asked(experiments: Mapping[str, Experiment]) -> dict[str, Asked]:
    """Returns all models that are asked, by the names of their predictions.

    Raises:
        ValueError: an experiment has the name of another one's baseline, or cannot be trained without videos.
    """
    found: dict[str, Asked] = {}
    for name, one in experiments.items():
        found[name] = Asked(of=name, experiment=one, model=name, video="none" if one.train.blind else "real")
    for name, one in experiments.items():
        for baseline in ANSWERING:
            if baseline not in one.baselines:
                continue
            answers = f"{name}.{baseline}"
            if answers in found:
                raise ValueError(f"experiments.{answers}: so are the answers of the baseline of {name} called")
            found[answers] = _baseline(name, one, baseline)
    return found


def _baseline(name: str, one: Experiment, baseline: Baseline) -> Asked:
    if baseline in ("shuffled", "still"):
        return Asked(of=name, experiment=one, model=name, video=baseline)
    if baseline == "zero_shot":
        base = one.init_from or f"base/{one.base_key}"
        return Asked(of=name, experiment=one, model=base, video="none" if one.train.blind else "real")
    train = type(one.train).model_validate({**one.train.model_dump(), **_OF_VIDEO, "blind": True})
    changes = {"train": train, "cache_features": False, "push_to_hub": None, "baselines": []}
    return Asked(of=name, experiment=one.model_copy(update=changes), model=f"{name}.blind", video="none")
