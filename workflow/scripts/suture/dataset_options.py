"""Options of an adapter that reads its data in several ways."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any, TypeVar, cast

from suture import delimited
from suture.errors import ConfigError

Adapter = TypeVar("Adapter")


def replaced(adapter: Adapter, options: Mapping[str, str], known: Mapping[str, Sequence[str]]) -> Adapter:
    """Returns the adapter with other options.

    Args:
        adapter: a dataclass with a field for each option.
        options: values by option, as ``dataset_options`` has them.
        known: the values that each option may have.

    Raises:
        ConfigError: an option or a value that is not known.
    """
    for name, value in options.items():
        if value not in known.get(name, ()):
            values = known.get(name)
            raise ConfigError(
                f"dataset_options: {name}: {value}" + ("" if values else delimited.nearest(name, list(known))),
                fix=f"one of {', '.join(values or known)}",
            )
    return cast(Adapter, replace(cast(Any, adapter), **options))
