"""Reading what the page is made of."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from suture import files, records
from suture.errors import InputError
from suture.records import Rejection

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


@dataclass(frozen=True, kw_only=True)
class LeftOut:
    """What was left out: reasons, most frequent first, and the share of media files and samples that are unusable."""

    reasons: list[Reason]
    shares: dict[str, float]


def read_left_out(path: Path, frames: Iterable[Path] = ()) -> LeftOut:
    """Reads rejected.json and, from ``frames``, the clips whose frames could not be cached.

    Raises:
        InputError: it has not the parts that gather_data writes.
    """
    rejected = files.read_json(path)
    uncached = [row for manifest in frames for row in records.read(manifest, Rejection)]
    try:
        counts = Counter(
            {(stage, reason): int(n) for stage, by in rejected["counts"].items() for reason, n in by.items()}
        )
        first: dict[tuple[str, str], str] = {}
        for row in rejected["rows"]:
            first.setdefault((row["stage"], row["reason"]), str(row["detail"]))
        shares = {str(name): float(share) for name, share in rejected["share"].items()}
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise InputError(
            f"not a rejected.json: {type(error).__name__} {error}", where=path, fix="make it again with gather_data.py"
        ) from error
    for clip in uncached:
        counts[clip.stage, clip.reason] += 1
        first.setdefault((clip.stage, clip.reason), clip.detail)
    try:
        reasons = [
            Reason(stage=stage, reason=reason, count=count, example=first[stage, reason])
            for (stage, reason), count in counts.items()
        ]
    except KeyError as error:
        raise InputError(f"rejected.json counts {error} but has no row of it", where=path) from error
    reasons.sort(key=lambda one: (-one.count, one.stage, one.reason))
    return LeftOut(reasons=reasons, shares=shares)


@dataclass(frozen=True, kw_only=True)
class Settings:
    """The configuration as tables: dotted keys of the run, and of each experiment."""

    run: list[tuple[str, str]]
    keys: list[str]
    experiments: dict[str, dict[str, str]]

    def differs(self, key: str) -> bool:
        """Whether the experiments have different values of a key."""
        return len({values.get(key) for values in self.experiments.values()}) > 1


def read_settings(path: Path, *, name_cases: bool) -> Settings:
    """Reads the resolved configuration; without ``name_cases`` the cases are counted only.

    Raises:
        InputError: it is not a YAML mapping.
    """
    try:
        config = yaml.safe_load(files.read_text(path))
    except yaml.YAMLError as error:
        raise InputError("not a YAML file", where=path) from error
    if not isinstance(config, dict):
        raise InputError("not a YAML mapping", where=path)
    if not name_cases and isinstance(config.get("cases"), list):
        config["cases"] = f"{len(config['cases'])} cases, not named: the data are credentialed"
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
    if isinstance(value, bool):
        return [(prefix, "true" if value else "false")]
    return [(prefix, "" if value is None else str(value))]
