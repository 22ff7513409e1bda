"""RadGraph F1: the entities and relations that two reports share, as RadGraph's own program found them.

RadGraph's model needs an environment of its own and is not run here; its
output is read: ``{"0": {"text", "entities": {"1": {"tokens", "label",
"relations": [[type, entity], ...]}}}, ...}``, keys the study ids or the rows'
numbers. F1 of entities and of relations as in CXR-Report-Metric@9c9ecad.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from suture import files
from suture.errors import InputError

Entity = tuple[str, str]
Graph = tuple[frozenset[Entity], frozenset[tuple[Entity, Entity, str]]]


def read(path: Path) -> dict[str, Graph]:
    """Reads RadGraph's output, by its keys.

    Raises:
        InputError: another layout; the key is named.
    """
    table = files.read_json(path)
    if not isinstance(table, dict):
        raise InputError("not RadGraph's output", where=path, fix='{"0": {"text": ..., "entities": {...}}, ...}')
    found = {}
    for key, value in table.items():
        try:
            found[str(key)] = graph(value["entities"])
        except (KeyError, TypeError, ValueError, AttributeError) as error:
            raise InputError(f"not RadGraph's output: {error!r}", where=f"{path}, {key}") from error
    return found


def graph(entities: Mapping[str, Any]) -> Graph:
    """Returns the sets of entities and of relations of one report."""
    named = {key: (str(one["tokens"]), str(one["label"])) for key, one in entities.items()}
    relations = {
        (named[key], named[str(other)], str(kind)) for key, one in entities.items() for kind, other in one["relations"]
    }
    return frozenset(named.values()), frozenset(relations)


def f1(said: Graph, gold: Graph) -> float:
    """Returns the mean of the F1 of entities and of relations; each 0 where nothing is shared."""
    return (_f1(said[0], gold[0]) + _f1(said[1], gold[1])) / 2


def _f1(said: frozenset[Any], gold: frozenset[Any]) -> float:
    common = len(said & gold)
    return 2 * common / (len(said) + len(gold)) if common else 0.0
