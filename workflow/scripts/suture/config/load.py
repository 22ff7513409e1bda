"""Reads and checks a configuration; errors name the key, the value and a line that would be right."""

from __future__ import annotations

import difflib
import json
from pathlib import Path
from typing import Any, get_args

import yaml
from pydantic import BaseModel, ValidationError

from suture import files
from suture.config.model import Config
from suture.errors import ConfigError


def resolve(raw: dict[str, Any]) -> Config:
    """Returns the configuration with all defaults filled in.

    Raises:
        ConfigError: listing every wrong key at once, each with its value, what
            is allowed, and a corrected line.
    """
    try:
        return Config.model_validate(raw)
    except ValidationError as error:
        problems = [_explain(dict(e)) for e in error.errors(include_url=False)]
        raise ConfigError(
            "the configuration cannot be used:\n" + "\n".join(f"  - {p}" for p in problems),
            fix="every key, its default and its meaning: config/README.md",
        ) from error


def read(path: Path) -> dict[str, Any]:
    """Reads a configuration file, unchecked.

    Raises:
        ConfigError: it is no list of `key: value`.
    """
    try:
        raw = yaml.safe_load(files.read_text(path))
    except yaml.YAMLError as error:
        raise ConfigError(f"not YAML: {error}", where=path) from error
    if not isinstance(raw, dict):
        raise ConfigError("the configuration is no list of `key: value`", where=path)
    return raw


def _explain(problem: dict[str, Any]) -> str:
    path = [str(part) for part in problem["loc"]]
    key, kind, context = ".".join(path), problem["type"], problem.get("ctx", {})
    if kind == "extra_forbidden":
        return _unknown_key(path)
    if kind == "missing":
        return f"{key} is missing; add, for example:  {path[-1]}: {_example(path)}"
    if kind == "value_error":
        return f"{key or 'configuration'}: {context['error']}"
    given = json.dumps(problem["input"], default=str)
    allowed = context.get("expected") or problem["msg"].removeprefix("Input should be ")
    right = _example(path)
    return f"{key}: {given} is not allowed; allowed: {allowed}" + (
        f"; for example  {path[-1]}: {right}" if right else ""
    )


def _unknown_key(path: list[str]) -> str:
    section = _section(path[:-1])
    known = sorted(section.model_fields) if section else []
    near = difflib.get_close_matches(path[-1], known, n=1, cutoff=0.5)
    if near:
        return f"{'.'.join(path)} is not a key; did you mean  {near[0]}: ?"
    return f"{'.'.join(path)} is not a key; here are: {', '.join(known)}"


def _section(path: list[str]) -> type[BaseModel] | None:
    """Finds the model that describes a section, through optional and dictionary types."""
    section: type[BaseModel] | None = Config
    position = 0
    while section is not None and position < len(path):
        if path[position] not in section.model_fields:
            return None
        annotation = section.model_fields[path[position]].annotation
        position += 1
        models = [a for a in (annotation, *_inner(annotation)) if isinstance(a, type) and issubclass(a, BaseModel)]
        if not models:
            return None
        if getattr(annotation, "__origin__", None) is dict:
            position += 1  # the entry's own name, for example the experiment's
        section = models[0]
    return section


def _inner(annotation: Any) -> list[Any]:
    found: list[Any] = []
    for part in get_args(annotation):
        found += [part, *_inner(part)]
    return found


def _example(path: list[str]) -> str:
    section = _section(path[:-1])
    field = section.model_fields.get(path[-1]) if section else None
    if field is None:
        return ""
    if field.examples:
        return json.dumps(field.examples[0])
    default = field.get_default(call_default_factory=True, validated_data={})
    if isinstance(default, BaseModel) or field.is_required():
        return ""
    return json.dumps(default)
