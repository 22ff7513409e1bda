"""What all sections of the configuration share."""

from __future__ import annotations

import difflib
from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field

from suture import registry

Name = Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]*$")]
Share = Annotated[float, Field(ge=0, le=1)]


class Section(BaseModel):
    """A part of the configuration: unknown keys are refused, and a text is not taken for a number."""

    model_config = ConfigDict(extra="forbid", validate_default=True, strict=True)


def one_of(kind: str, name: str) -> str:
    """Returns the name if it is one of the modules there are, without importing one.

    Raises:
        ValueError: it is none; with the nearest one.
    """
    names = registry.names(kind)
    if name not in names:
        near = difflib.get_close_matches(name, names, n=1)
        hint = f"; did you mean {near[0]!r}?" if near else ""
        raise ValueError(f"unknown {kind} {name!r}{hint} There are: {', '.join(names)}")
    return name
