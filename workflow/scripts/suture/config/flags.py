"""Config sections as command-line flags: one model says what both are."""

from __future__ import annotations

import argparse
import shlex
from collections.abc import Mapping
from typing import Any, Literal, get_args, get_origin

from pydantic import BaseModel, ValidationError
from pydantic_core import PydanticUndefined

from suture.errors import ConfigError


def add_flags(
    parser: argparse.ArgumentParser,
    section: type[BaseModel],
    *,
    leave_out: frozenset[str] = frozenset(),
    defaults: Mapping[str, Any] | None = None,
) -> None:
    """Adds one flag for each field of a section, with its default and its description as help.

    Only kinds of field that a flag can carry are taken: number, text, choice, yes/no.
    A flag that is not given leaves no trace: defaults are the section's own.

    Args:
        parser: gets the flags.
        section: whose fields.
        leave_out: fields without a flag.
        defaults: what the help names as default, where it is not the section's.
    """
    group = parser.add_argument_group(f"{section.__name__.lower()} options")
    for name, field in section.model_fields.items():
        if name in leave_out:
            continue
        kind: Any = field.annotation
        described = (field.description or "").replace("%", "%%")
        options: dict[str, Any] = {"help": described, "dest": name, "default": argparse.SUPPRESS}
        default = (defaults or {}).get(name, field.default)
        if default is PydanticUndefined:
            options["required"] = True
        elif default is not None:
            options["help"] += f" (default: {default})"
        if kind is bool:
            options["action"] = argparse.BooleanOptionalAction
        elif get_origin(kind) is Literal:
            options |= {"choices": get_args(kind), "type": type(get_args(kind)[0])}
        else:
            # `int | None` and the like: the first part is the type a user types.
            options["type"] = next((part for part in get_args(kind) if part is not type(None)), kind)
        group.add_argument("--" + name.replace("_", "-"), **options)


def from_args(args: argparse.Namespace, section: type[BaseModel], **given: Any) -> BaseModel:
    """Builds the section from parsed flags; ``given`` supplies the fields that have no flag.

    Raises:
        ConfigError: naming each option whose value cannot be used.
    """
    try:
        return section.model_validate(given_flags(args, section) | given)
    except ValidationError as error:
        problems = [
            " ".join(["--" + str(part).replace("_", "-") for part in problem["loc"]] + [problem["msg"]])
            for problem in error.errors(include_url=False)
        ]
        raise ConfigError("; ".join(problems), fix="see --help") from error


def given_flags(args: argparse.Namespace, section: type[BaseModel]) -> dict[str, Any]:
    """Returns the fields of a section whose flags were given."""
    return {name: getattr(args, name) for name in section.model_fields if hasattr(args, name)}


def to_flags(section: BaseModel, *, leave_out: frozenset[str] = frozenset(), only: frozenset[str] | None = None) -> str:
    """Returns a section as the flags of :func:`add_flags`, quoted for a shell; None stands for a flag left out.

    ``leave_out`` names fields that are not wanted, ``only`` those that are, where not all.
    """
    words = []
    for name, value in section.model_dump().items():
        option = name.replace("_", "-")
        if name in leave_out or value is None or (only is not None and name not in only):
            continue
        if isinstance(value, bool):
            words.append(f"--{option}" if value else f"--no-{option}")
        else:
            words.append(f"--{option} {shlex.quote(str(value))}")
    return " ".join(words)
