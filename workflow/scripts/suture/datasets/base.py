"""What a dataset adapter offers. An adapter is a module with these names.

Adapters import the standard library only: the first two functions run while
the Snakefile is parsed, in every job of a cluster.
"""

from __future__ import annotations

from pathlib import Path
from typing import Protocol

from suture.records import Case


class Adapter(Protocol):
    """A module in ``suture/datasets``."""

    SHARING: str
    """Default sharing class of the data: open, internal or credentialed."""

    OBJECT_KINDS: dict[str, str]
    """Canonical object name to ``anatomy`` or ``instruments``, in the order answers name them; {} without objects."""

    REFERENCES: tuple[str, ...]
    """The anatomy that places are told from, the preferred one first; () where they are not told."""

    def case_ids(self, root: Path) -> list[str]:
        """Lists the cases annotated under ``root``, sorted. Reads names, not contents."""
        ...

    def case_files(self, root: Path, case: str) -> list[Path]:
        """Lists the annotation files of one case: the inputs of that case's jobs."""
        ...

    def case_media(self, root: Path, videos: Path, case: str) -> list[Path]:
        """Lists the media files of one case, those that exist; may be empty.

        ``root`` is the annotations' root: a table names its media there.
        """
        ...

    def read_case(self, root: Path, case: str) -> Case:
        """Reads one case's annotations; odd rows become rejections.

        Raises:
            InputError: a file that cannot be read at all, named.
        """
        ...


def annotation_digest(adapter: Adapter, root: Path, case: str) -> str | None:
    """Returns a digest of one case's annotation, of an adapter whose cases share their files.

    Such an adapter has a function ``case_digest(root, case)``. For the others,
    whose cases have files of their own, the files themselves say what changed: None.
    """
    digest = getattr(adapter, "case_digest", None)
    return None if digest is None else str(digest(root, case))
