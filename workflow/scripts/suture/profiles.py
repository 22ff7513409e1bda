"""Profiles as Snakemake reads them: which file a name stands for, and what a rule's job gets by it."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from typing import Any

import yaml

from suture import files
from suture.errors import InputError

MAPPINGS = frozenset(
    {
        "set-threads",
        "resources",
        "set-scatter",
        "batch",
        "set-resource-scopes",
        "default-resources",
        "config",
        "groups",
        "group-components",
        "consider-ancient",
        "set-resources",
    }
)
"""Keys that may hold a mapping (snakemake/profiles.py). Any other key with one is dropped without a word."""

_NAME = re.compile(r"(?:profile|config)(?:\.v(\d+)\+)?\.yaml")


@dataclass(frozen=True, kw_only=True)
class Profile:
    """A profile's file and what it says, its Python evaluated."""

    path: Path
    keys: dict[str, Any]

    def resources(self, rule: str, own: Mapping[str, Any]) -> dict[str, Any]:
        """Returns what a rule's jobs get: the profile's defaults, over them the rule's own, and what it sets for it."""
        default, over = self.keys.get("default-resources"), (self.keys.get("set-resources") or {}).get(rule)
        return {**(default if isinstance(default, dict) else {}), **own, **(over if isinstance(over, dict) else {})}


def find(name: str, root: Path) -> Path:
    """Returns the file of a profile as `snakemake --profile NAME` finds it from ``root``.

    Raises:
        InputError: there is none.
    """
    home = Path(os.environ.get("XDG_CONFIG_HOME", Path.home() / ".config"))
    for place in (root / name, home / "snakemake" / name, Path("/etc/xdg/snakemake") / name):
        if place.is_file():
            return place
        matches = {path: _NAME.fullmatch(path.name) for path in place.glob("*.yaml")}
        versions = {path: int(match[1] or 0) for path, match in matches.items() if match}
        if versions:
            return max(versions, key=lambda path: versions[path])
    raise InputError(f"there is no profile {name!r}", where=root / name, fix="give a folder that holds config.yaml")


def read(path: Path) -> Profile:
    """Reads a profile's file.

    Raises:
        InputError: it is no mapping, or its Python fails.
    """
    text = files.read_text(path)
    try:
        # Snakemake's own template engine; what runs in a rule's environment has none, and reads no profile.
        yte: Any = import_module("yte")
        keys = yte.process_yaml(text, require_use_yte=True)
    except ImportError:
        keys = yaml.safe_load(text)
    except Exception as error:
        raise InputError(f"the profile cannot be read: {error}", where=path) from error
    if not isinstance(keys, dict):
        raise InputError("the profile is no list of `key: value`", where=path)
    return Profile(path=path, keys=keys)


def minutes(runtime: Any) -> float | None:
    """Reads a job's `runtime`: minutes, or a text as `12h`; None where it is neither.

    Units: s, m, h, d, w, and combinations as `1d12h`.
    """
    if isinstance(runtime, int | float):
        return float(runtime)
    text = str(runtime).strip().lower()
    if re.fullmatch(r"\d+(\.\d+)?", text):
        return float(text)
    parts = re.findall(r"(\d+(?:\.\d+)?)\s*(s|min|m|h|d|w)[a-z]*", text)
    if not parts or re.sub(r"(\d+(?:\.\d+)?)\s*(s|min|m|h|d|w)[a-z]*\s*", "", text):
        return None
    unit = {"s": 1 / 60, "m": 1, "min": 1, "h": 60, "d": 1440, "w": 10080}
    return sum(float(number) * unit[name] for number, name in parts)


def gpus(resources: dict[str, Any]) -> int | None:
    """Returns the number of cards that resources ask for; None where it is an expression."""
    if "gpu" in resources:
        return int(resources["gpu"]) if str(resources["gpu"]).isdigit() else None
    match = re.search(r"gpu(?::[^:,]+)?:(\d+)", str(resources.get("gres", "")))
    if match:
        nodes = str(resources.get("nodes", 1))  # the first asks for each node, the others for all together
        return int(match[1]) * int(nodes) if nodes.isdigit() else None
    match = re.search(r"--gpus(?:-per-node)?[= ](?:[^:\s]+:)?(\d+)", str(resources.get("slurm_extra", "")))
    return int(match[1]) if match else 0
