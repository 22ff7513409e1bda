"""What a language-model back end offers."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Protocol

from suture.qa.requests import Reply, Request


class Writer(Protocol):
    """A language model that is ready to answer."""

    revision: str
    """What names its weights: a commit, a content digest, or ``unpinned``."""

    def write(self, requests: Sequence[Request]) -> Iterator[Reply]:
        """Answers each request once, in any order; one that cannot be answered gets a reply with finish ``error``.

        Raises:
            ServerGone: no request can be answered any more.
        """
        ...


class ServerGone(Exception):
    """The server does not answer any more: what there is is kept, and a later run goes on."""


UNPINNED = "unpinned"
