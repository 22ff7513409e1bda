"""Reading what the page is made of."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from suture import files
from suture.errors import InputError

Series = dict[str, list[tuple[float, float]]]

LOSSES = {"loss": "training", "eval_loss": "validation"}
"""Keys of a training log that are drawn, with the words of the legend."""


def named(pairs: Iterable[str], *, flag: str) -> dict[str, Path]:
    """Splits NAME=FILE arguments.

    Raises:
        InputError: one has no name or no file, or a name occurs twice.
    """
    found: dict[str, Path] = {}
    for pair in pairs:
        name, equals, path = pair.partition("=")
        if not (name and equals and path):
            raise InputError(f"{flag} {pair!r} is not NAME=FILE", fix=f"for example {flag} qwen=predictions/qwen.jsonl")
        if name in found:
            raise InputError(f"{flag} names {name!r} twice")
        found[name] = Path(path)
    return found


def read_losses(path: Path) -> Series:
    """Reads a training log (JSON Lines with step, loss, eval_loss) as curves of loss by step.

    Raises:
        InputError: a row has no step, or a loss that is not a number.
    """
    series: Series = {}
    for number, row in enumerate(files.read_jsonl(path), start=1):
        where = f"{path}, record {number}"
        if not isinstance(row, dict):
            raise InputError("not a JSON object", where=where)
        for key, words in LOSSES.items():
            if key not in row:
                continue
            try:
                series.setdefault(words, []).append((float(row["step"]), float(row[key])))
            except (KeyError, TypeError, ValueError) as error:
                raise InputError(f"no step and {key} as numbers", where=where) from error
    return series


@dataclass(frozen=True, kw_only=True)
class Reason:
    """Things left out for one reason, with the detail of the first of them."""

    stage: str
    reason: str
    count: int
    example: str


def reasons(rejections: Sequence[dict[str, Any]]) -> list[Reason]:
    """Counts rejections by stage and reason, most frequent first."""
    keys = [(str(row["stage"]), str(row["reason"])) for row in rejections]
    first: dict[tuple[str, str], str] = {}
    for key, row in zip(keys, rejections, strict=True):
        first.setdefault(key, str(row.get("detail", "")))
    counts = Counter(keys)
    return [
        Reason(stage=stage, reason=reason, count=counts[stage, reason], example=first[stage, reason])
        for stage, reason in sorted(counts, key=lambda key: (-counts[key], key))
    ]


@dataclass(frozen=True, kw_only=True)
class Settings:
    """The configuration as tables: dotted keys of the run, and of each experiment."""

    run: list[tuple[str, str]]
    keys: list[str]
    experiments: dict[str, dict[str, str]]

    def differs(self, key: str) -> bool:
        """Whether the experiments have different values of a key."""
        return len({values.get(key) for values in self.experiments.values()}) > 1


def read_settings(path: Path) -> Settings:
    """Reads the resolved configuration.

    Raises:
        InputError: it is not a YAML mapping.
    """
    try:
        config = yaml.safe_load(files.read_text(path))
    except yaml.YAMLError as error:
        raise InputError("not a YAML file", where=path) from error
    if not isinstance(config, dict):
        raise InputError("not a YAML mapping", where=path)
    experiments = {
        str(name): dict(_flat(values)) for name, values in sorted((config.pop("experiments", None) or {}).items())
    }
    keys = list(dict.fromkeys(key for values in experiments.values() for key in values))
    return Settings(run=_flat(config), keys=keys, experiments=experiments)


def _flat(value: Any, prefix: str = "") -> list[tuple[str, str]]:
    if isinstance(value, dict):
        return [pair for key, item in value.items() for pair in _flat(item, f"{prefix}.{key}" if prefix else str(key))]
    if isinstance(value, list):
        return [(prefix, ", ".join(str(item) for item in value))]
    return [(prefix, "" if value is None else str(value))]
