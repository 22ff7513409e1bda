"""Datasets of images by category: one experiment for each category, made of the configuration and the data's counts.

The published notebooks were one a category, each with its own copy of the
settings, and took num_images, num_epochs, batch_size and learning_rate.
"""

from __future__ import annotations

import copy
import math
from collections.abc import Mapping
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any

from suture import registry
from suture.config.data import Draw
from suture.config.load import resolve
from suture.config.model import Config
from suture.config.training import Train, with_family_defaults
from suture.delimited import nearest
from suture.errors import ConfigError
from suture.files import sha256_text

KEYS = ("categories", "each_category", "num_images", "num_epochs", "batch_size", "learning_rate")

Questions = Mapping[str, Mapping[str, int]]
"""Number of answered questions of each case, by category."""


def expand(raw: dict[str, Any]) -> dict[str, Any]:
    """Returns the configuration with these keys turned into cases and experiments; without them, as it is.

    Steps of ``num_epochs`` are counted from the data and the split's first
    fraction, before there is a split: epochs x fraction x samples / samples a
    step, rounded up.

    Raises:
        ConfigError: a wrong value, an unknown category, or a dataset without categories.
    """
    if not any(raw.get(key) is not None for key in KEYS):
        return raw
    checked = resolve({key: value for key, value in raw.items() if key != "experiments"})
    found = questions_of(checked)
    chosen = _chosen(checked, found)
    fractions = _fractions(checked, chosen)
    experiments = copy.deepcopy(raw.get("experiments") or {})
    template = checked.each_category
    for category, cases in chosen.items() if template is not None else ():
        if category in experiments:
            raise ConfigError(f"experiments.{category} is made by each_category", fix="give it another name")
        experiments[category] = {**copy.deepcopy(template or {}), "cases": _named(category, cases, found)}
    for name, one in experiments.items():
        if isinstance(one, dict) and isinstance(one.get("train"), dict):
            _override(name, one, checked, chosen, fractions[0])
    made = {key: value for key, value in raw.items() if key not in KEYS}
    if fractions != checked.split.fractions:
        made["split"] = {**raw.get("split", {}), "fractions": list(fractions)}
    # A drawn dataset's categories say what is drawn.
    if checked.draw is not None:
        made["categories"] = list(found)
    limited = checked.num_images is not None or checked.categories is not None or checked.draw is not None
    if limited and checked.cases is None:
        made["cases"] = sorted(case for cases in chosen.values() for case in cases)
    return {**made, "experiments": experiments}


def questions_of(config: Config) -> Questions:
    """Counts the questions of each case by category: of the files, or of what is going to be drawn.

    Raises:
        ConfigError: the dataset has no categories.
    """
    if config.draw is not None and config.draw.kind == "ultrasound":
        from suture.drawing import scans

        return scans.label_questions(config.categories or (), config.draw.images)
    counting = getattr(registry.dataset(config.adapter), "label_questions", None)
    if counting is None or isinstance(config.draw, Draw):
        raise ConfigError(
            f"the images of dataset {config.dataset!r} have no categories",
            fix=f"leave out {', '.join(KEYS)}, which are about those",
        )
    found: Questions = counting(Path(str(config.annotations)))
    return found


def _chosen(config: Config, found: Questions) -> dict[str, dict[str, int]]:
    """Returns the cases to use, by category, smallest category first."""
    for name in config.categories or ():
        if name not in found:
            raise ConfigError(
                f"categories: {name!r} has no labelled image{nearest(name, list(found))}",
                fix=f"there are: {', '.join(found)}",
            )
    chosen = {}
    for name in [name for name in found if config.categories is None or name in config.categories]:
        cases = [case for case in found[name] if config.cases is None or case in config.cases]
        drawn = sorted(cases, key=lambda case: sha256_text(f"{config.split.seed}/{case}"))
        chosen[name] = {case: found[name][case] for case in sorted(drawn[: config.num_images])}
    return dict(sorted(chosen.items(), key=lambda one: (len(one[1]), one[0])))


def _fractions(config: Config, chosen: Mapping[str, Mapping[str, int]]) -> tuple[float, float, float]:
    """Returns the split's shares; of a few images, such that each category has one to validate and one to test."""
    others = config.split.fractions[1:]
    fewest = min(map(len, chosen.values()))
    if config.num_images is None or fewest < 3 or all(share * fewest >= 1 for share in others if share):
        return config.split.fractions
    val, test = (max(share, 1 / fewest) if share else 0.0 for share in others)
    return 1 - val - test, val, test


def _named(category: str, cases: Mapping[str, int], found: Questions) -> list[str]:
    """Names a category's cases by one pattern where that fits no other's, else one by one."""
    pattern = f"{category}_*"
    others = (case for name, its in found.items() if name != category for case in its)
    alone = all(fnmatchcase(case, pattern) for case in cases) and not any(fnmatchcase(o, pattern) for o in others)
    return [pattern] if alone else list(cases)


def _override(
    name: str, one: dict[str, Any], config: Config, chosen: Mapping[str, Mapping[str, int]], share: float
) -> None:
    """Puts the settings for all experiments into one of them."""
    train = one["train"]
    for key in ("batch_size", "learning_rate"):
        if getattr(config, key) is not None:
            train[key] = getattr(config, key)
    if config.num_epochs is None:
        return
    patterns = one.get("cases") or ["*"]
    counts = [
        (1 if config.qa.questions == "together" else n)
        for cases in chosen.values()
        for case, n in cases.items()
        if any(fnmatchcase(case, pattern) for pattern in patterns)
    ]
    family = str(one.get("family"))
    known = family in registry.names("model family")
    defaults = registry.literals("model family", family).get("TRAIN_DEFAULTS", {}) if known else {}
    settled = with_family_defaults(train, defaults)
    a_step = math.prod(
        int(settled.get(key, Train.model_fields[key].default)) for key in ("batch_size", "gradient_accumulation_steps")
    )
    if sum(counts) == 0:
        raise ConfigError(f"experiments.{name}: num_epochs of no image at all", fix="see its `cases`")
    samples = sum(counts) * share
    train["max_steps"] = max(1, math.ceil(round(config.num_epochs * samples / a_step, 6)))
    train["steps_per_job"] = min(train["max_steps"], train.get("steps_per_job") or train["max_steps"])
    # An evaluation after the last step is there in any case.
    if train.get("eval_steps") and train["eval_steps"] > train["max_steps"]:
        train["eval_steps"] = train["max_steps"]
