"""The flags of a family's published script that mean options of ours: other names, and switches.

Families list them as literals, ``ALIASES`` and ``SWITCHES``, so that help and
parser know them without an import.
"""

from __future__ import annotations

import argparse
from collections.abc import Mapping
from typing import Any

from suture.config.training import Train
from suture.errors import InputError

_ALIAS, _SWITCH = "alias_", "switch_"


def add(parser: argparse.ArgumentParser, family: Mapping[str, Any]) -> None:
    """Adds a family's published flags.

    Args:
        parser: gets the flags.
        family: constants of its module.
    """
    group = parser.add_argument_group("published options")
    for name, option in family.get("ALIASES", {}).items():
        kind = next(one for one in (int, float) if one.__name__ in str(Train.model_fields[option].annotation))
        group.add_argument(
            f"--{name.replace('_', '-')}",
            dest=_ALIAS + name,
            type=kind,
            metavar="N",
            help=f"the same as --{option.replace('_', '-')}",
        )
    for name in _names(family):
        means = ", ".join(f"{option}: {value}" for option, value in family["SWITCHES"].get(name, {}).items())
        group.add_argument(
            f"--{name.replace('_', '-')}",
            dest=_SWITCH + name,
            action="store_true",
            help=means or "with another of these; see the family's page in docs/",
        )


def apply(args: argparse.Namespace, family: Mapping[str, Any]) -> None:
    """Gives our options the values that published flags mean.

    Raises:
        InputError: a switch would do nothing as it stands, or two flags say one thing in two ways.
    """
    meant: dict[str, tuple[Any, str]] = {}
    given = {name for name in _names(family) if getattr(args, _SWITCH + name)}
    fitting = [key for key in family.get("SWITCHES", {}) if set(key.split("+")) <= given]
    idle = given - {name for key in fitting for name in key.split("+")}
    if idle:
        name = min(idle)
        others = sorted(
            {one for key in family["SWITCHES"] if name in key.split("+") for one in key.split("+")} - {name}
        )
        raise InputError(
            f"--{name.replace('_', '-')} would do nothing by itself: beside adapters those weights stay as they are",
            fix=f"add --{' or --'.join(one.replace('_', '-') for one in others)}, or leave it out",
        )
    for key in sorted(fitting, key=lambda one: one.count("+")):
        for option, value in family["SWITCHES"][key].items():
            said = meant.get(option)
            if said is not None and said[0] != value and "+" not in key:
                raise InputError(f"--{said[1]} and --{key} say two things about {option}", fix="leave one out")
            meant[option] = value, key
    for name, option in family.get("ALIASES", {}).items():
        value = getattr(args, _ALIAS + name)
        if value is not None:
            meant[option] = value, name
    for option, (value, name) in meant.items():
        if hasattr(args, option) and getattr(args, option) != value and option != "max_steps":
            flags = " and ".join(f"--{one.replace('_', '-')}" for one in (name, option))
            raise InputError(f"{flags} say two things", fix="leave one out")
        setattr(args, option, value)


def _names(family: Mapping[str, Any]) -> list[str]:
    return sorted({name for key in family.get("SWITCHES", {}) for name in key.split("+")})
