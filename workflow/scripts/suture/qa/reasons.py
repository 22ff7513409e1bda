"""Why a reply is refused."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Problem:
    """One thing that is wrong with a reply.

    ``reason`` is a short code that is counted, ``kind`` the pair it is about,
    empty for the whole reply; ``detail`` is the clause that is fed back to the
    model and read by users.
    """

    reason: str
    kind: str
    detail: str
