"""The points of a sweep: a grid or a list of settings, each checked as an experiment of the run's config."""

from __future__ import annotations

import copy
import itertools
import json
import re
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from suture import files
from suture.config import schedule, variants
from suture.config.load import resolve
from suture.config.model import Config
from suture.delimited import nearest
from suture.errors import ConfigError, InputError

LEFT_OUT = ("push_to_hub", "summary")
"""What of an experiment is about its one finished model, not about a point."""

_EXPONENT = re.compile(r"[-+]?(\d+\.?\d*|\.\d+)[eE][-+]?\d+")
_LONGEST = 40


@dataclass(frozen=True, kw_only=True)
class Point:
    """One setting of the swept keys.

    Attributes:
        name: of the experiment that it is in the sweep's config.
        values: value of each swept key; a key is dotted, from the experiment on: ``train.learning_rate``.
    """

    name: str
    values: dict[str, Any]


@dataclass(frozen=True, kw_only=True)
class Sweep:
    """A run's config with the points beside its own experiments.

    Attributes:
        experiment: the one that is varied.
        points: in the order asked for.
        raw: the configuration as written, points included.
        config: the same with all defaults filled in.
    """

    experiment: str
    points: tuple[Point, ...]
    raw: dict[str, Any]
    config: Config

    def runs(self, point: Point) -> list[str]:
        """Returns the names under which a point is trained: its own, or those of its repeats over seeds and folds."""
        return variants.repeats(self.config).get(point.name, [point.name])

    def digest(self, point: Point) -> str:
        """Returns what changes when, and only when, the settings of a point do: 12 hex digits."""
        about = {**self.raw, "experiments": self.raw["experiments"][point.name]}
        return files.sha256_text(json.dumps(about, sort_keys=True))[:12]

    @property
    def keys(self) -> list[str]:
        """All keys that some point sets."""
        return list(dict.fromkeys(key for point in self.points for key in point.values))


def grid(words: Sequence[str]) -> list[dict[str, Any]]:
    """Reads ``KEY=V1,V2`` words and returns all combinations of their values, the last key's the fastest.

    Values are YAML: ``"q_proj,v_proj"`` in quotes is one text, ``[0, 1]`` a list. ``1e-4`` is a number.

    Raises:
        InputError: a word without values, or a key given twice.
    """
    axes: dict[str, list[Any]] = {}
    for word in words:
        key, equals, listed = word.partition("=")
        try:
            found = yaml.safe_load(f"[{listed}]") if key and equals else []
        except yaml.YAMLError as error:
            raise InputError(f"--set {word}: the values cannot be read: {error}") from error
        if not found:
            raise InputError(
                f"--set {word}: not KEY=VALUE,VALUE", fix="for example  --set train.learning_rate=1e-4,2e-4"
            )
        if key in axes:
            raise InputError(f"--set {key} is given twice", fix=f"name all its values at once: --set {word},...")
        axes[key] = [_number(value) for value in found]
    return [dict(zip(axes, values, strict=True)) for values in itertools.product(*axes.values())]


def listed(path: Path) -> dict[str, dict[str, Any]]:
    """Reads a file of named points: ``NAME: {train: {learning_rate: 1e-4}}``; keys may also be dotted.

    Raises:
        InputError: it is no such file.
    """
    try:
        raw = yaml.safe_load(files.read_text(path))
    except yaml.YAMLError as error:
        raise InputError(f"not YAML: {error}", where=path) from error
    if not isinstance(raw, dict) or not raw or not all(isinstance(one, dict) and one for one in raw.values()):
        raise InputError(
            "not a list of points",
            where=path,
            fix="a name and what it sets on each line: small-steps: {train.learning_rate: 1e-4, train.r: 8}",
        )
    return {str(name): _flat(values) for name, values in raw.items()}


def _flat(values: Mapping[str, Any], before: str = "") -> dict[str, Any]:
    found: dict[str, Any] = {}
    for key, value in values.items():
        name = f"{before}{key}"
        found |= _flat(value, f"{name}.") if isinstance(value, dict) else {name: _number(value)}
    return found


def _number(value: Any) -> Any:
    """YAML 1.1 takes ``1e-4`` for a text."""
    return float(value) if isinstance(value, str) and _EXPONENT.fullmatch(value) else value


def expand(
    raw: Mapping[str, Any],
    experiment: str | None,
    wanted: Sequence[Mapping[str, Any]] | Mapping[str, Mapping[str, Any]],
    *,
    run: Path,
    baselines: bool = False,
) -> Sweep:
    """Makes the sweep of an experiment.

    The run's own experiments stay in the config: rules that know them all (the leak gate's list of weights) find
    nothing changed.

    Args:
        raw: the run's configuration as written.
        experiment: the one to vary; None where there is only one.
        wanted: settings, by name where they have one.
        run: the folder of the run, for plans that `snakemake plan` settled.
        baselines: whether points keep the experiment's baselines.

    Raises:
        ConfigError: an unknown experiment or key, or a value that is refused; naming the point.
        InputError: two points are one.
    """
    resolve(dict(raw))
    base = copy.deepcopy(dict(schedule.settle(raw, run).raw))
    name = _experiment(base, experiment)
    settings = list(wanted.values()) if isinstance(wanted, Mapping) else list(wanted)
    names = list(wanted) if isinstance(wanted, Mapping) else [_words(one, settings) for one in settings]
    points = [Point(name=f"{name}.{named}", values=dict(one)) for named, one in zip(names, settings, strict=True)]
    if twice := [one for one, number in Counter(point.name for point in points).items() if number > 1]:
        raise InputError(f"two points are called {twice[0]}: are their values the same?")
    taken = {*base["experiments"], *variants.asked(resolve(variants.multiplied(base)).experiments)}
    if clash := next((point.name for point in points if point.name in taken), None):
        raise InputError(f"{clash} is the name of something else of this run", fix="give the point another name")
    for point in points:
        made = _at(base["experiments"][name], point.values, baselines)
        _check(base, point, made, name)
        if schedule.is_open(made.get("train")):
            raise ConfigError(
                f"how many steps and jobs {point.name} has is left to `snakemake plan`",
                fix=f"run `snakemake plan` once for {name}, or give train.max_steps and train.steps_per_job",
            )
    experiments = {
        **base["experiments"],
        **{point.name: _at(base["experiments"][name], point.values, baselines) for point in points},
    }
    every = {**base, "experiments": experiments}
    return Sweep(experiment=name, points=tuple(points), raw=every, config=resolve(every))


def _experiment(raw: Mapping[str, Any], wanted: str | None) -> str:
    known = list(raw.get("experiments") or {})
    if wanted is None and len(known) == 1:
        return str(known[0])
    if wanted is None or wanted not in known:
        problem = "which experiment is varied?" if wanted is None else f"there is no experiment {wanted!r}"
        raise ConfigError(
            f"{problem}{nearest(wanted or '', known)}", fix=f"--experiment NAME, one of: {', '.join(known) or 'none'}"
        )
    return wanted


def _at(experiment: Mapping[str, Any], values: Mapping[str, Any], baselines: bool) -> dict[str, Any]:
    """Returns an experiment with other values."""
    made: dict[str, Any] = copy.deepcopy({key: one for key, one in experiment.items() if key not in LEFT_OUT})
    if not baselines:
        made["baselines"] = []
    for key, value in values.items():
        section = made
        *path, last = key.split(".")
        for part in path:
            section = section.setdefault(part, {})
            if not isinstance(section, dict):
                raise ConfigError(f"{key}: {part} holds no keys")
        section[last] = value
    return made


def _check(base: Mapping[str, Any], point: Point, made: Mapping[str, Any], experiment: str) -> None:
    """Checks one point under its experiment's name, by which the user knows its keys."""
    try:
        resolve({**base, "experiments": {**base["experiments"], experiment: made}})
    except ConfigError as error:
        said = ", ".join(f"{key}={value}" for key, value in point.values.items())
        raise ConfigError(f"point {said}: {error.problem}", fix=error.fix) from error


def _words(values: Mapping[str, Any], settings: Sequence[Mapping[str, Any]]) -> str:
    """Names a point by its values: ``learning_rate-0.0001.r-8``."""
    keys = {key for one in settings for key in one}
    short = Counter(key.rpartition(".")[2] for key in keys)
    called = {key: last if short[last := key.rpartition(".")[2]] == 1 else key for key in values}
    return ".".join(f"{called[key]}-{_text(value)}" for key, value in values.items())


def _text(value: Any) -> str:
    """Writes a value so that it may stand in the name of an experiment and of a file."""
    text = value if isinstance(value, str) else json.dumps(value)
    plain = re.sub(r"[^A-Za-z0-9._-]+", "-", text)[:_LONGEST].strip("-")
    number = isinstance(value, int | float)
    return plain if plain == text or number else f"{plain}-{files.sha256_text(text)[:6]}"
