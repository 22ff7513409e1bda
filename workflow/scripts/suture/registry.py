"""Finds dataset adapters, model families and tasks by module name.

A sixth of any is one new file in ``suture/datasets``, ``suture/models`` or
``suture/tasks``; nothing that is shared knows one of them by name.
"""

from __future__ import annotations

import ast
import contextlib
import difflib
import pkgutil
from functools import cache
from importlib import import_module
from pathlib import Path
from typing import Any, cast

from suture.datasets.base import Adapter
from suture.errors import ConfigError

FOLDERS = {"dataset adapter": "datasets", "model family": "models", "task": "tasks"}
"""Where the modules of each kind lie in this package."""


def names(kind: str) -> list[str]:
    """Names all modules of a kind, sorted, without importing them."""
    folder = Path(__file__).parent / FOLDERS[kind]
    return sorted(m.name for m in pkgutil.iter_modules([str(folder)]) if m.name != "base")


def _load(kind: str, name: str) -> Any:
    known = names(kind)
    if name not in known:
        near = difflib.get_close_matches(name, known, n=1)
        raise ConfigError(
            f"unknown {kind} {name!r}" + (f"; did you mean {near[0]!r}?" if near else ""),
            fix=f"one of: {', '.join(known)}",
        )
    return import_module(f"suture.{FOLDERS[kind]}.{name}")


def dataset(name: str) -> Adapter:
    """Loads a dataset adapter, with options after a colon: ``mimic_cxr:views=all,cleaning=gentle``.

    Light: adapters import the standard library only.

    Raises:
        ConfigError: no such adapter, or it has no such option.
    """
    name, _, given = name.partition(":")
    adapter = _load("dataset adapter", name)
    if not given:
        return cast(Adapter, adapter)
    options = dict(one.partition("=")[::2] for one in given.split(","))
    if not hasattr(adapter, "with_options"):
        raise ConfigError(f"dataset {name!r} is read in one way", fix=f"leave out {given}")
    return cast(Adapter, adapter.with_options(options))


def family(name: str) -> Any:
    """Loads a model family (imports torch)."""
    return _load("model family", name)


@cache
def literals(kind: str, name: str) -> dict[str, Any]:
    """Returns the constants of a module that are written as plain literals, without importing it."""
    source = (Path(__file__).parent / FOLDERS[kind] / f"{name}.py").read_text(encoding="utf-8")
    found = {}
    for node in ast.parse(source).body:
        target = node.targets[0] if isinstance(node, ast.Assign) else getattr(node, "target", None)
        if isinstance(node, ast.Assign | ast.AnnAssign) and isinstance(target, ast.Name) and node.value is not None:
            with contextlib.suppress(ValueError):  # a constant that is computed
                found[target.id] = ast.literal_eval(node.value)
    return found


def task(name: str) -> Any:
    """Loads a task."""
    return _load("task", name)
