"""What a dataset adapter offers. An adapter is a module with these names.

Adapters import the standard library only: the first two functions run while
the Snakefile is parsed, in every job of a cluster.
"""

from __future__ import annotations

from pathlib import Path
from typing import Protocol

from suture.errors import InputError
from suture.records import Case, Rejection


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


def read_split(adapter: Adapter, root: Path) -> dict[str, str]:
    """Returns the publisher's own split of the cases: train, val or test.

    An adapter of a dataset that has one has a function ``read_split(root)``.

    Raises:
        InputError: this dataset has none, or its split divides a case.
    """
    read = getattr(adapter, "read_split", None)
    if read is None:
        raise InputError("this dataset's publisher gave no split", where=root, fix="leave out split.official")
    found: dict[str, str] = read(root)
    return found


def never_trained(adapter: Adapter) -> frozenset[str]:
    """Returns the cases that no configuration may train or validate on: ``NEVER_TRAINED`` of an adapter."""
    found: frozenset[str] = getattr(adapter, "NEVER_TRAINED", frozenset())
    return found


def left_out_kinds(adapter: Adapter) -> tuple[str, ...]:
    """Returns the kinds of questions that the publisher's own loader leaves out: ``LEFT_OUT_KINDS`` of an adapter."""
    found: tuple[str, ...] = getattr(adapter, "LEFT_OUT_KINDS", ())
    return found


def annotation_digest(adapter: Adapter, root: Path, case: str) -> str | None:
    """Returns a digest of one case's annotation, of an adapter whose cases share their files.

    Such an adapter has a function ``case_digest(root, case)``. For the others,
    whose cases have files of their own, the files themselves say what changed: None.
    """
    digest = getattr(adapter, "case_digest", None)
    return None if digest is None else str(digest(root, case))


def general_rejections(adapter: Adapter, root: Path, videos: Path | None) -> list[Rejection]:
    """Returns what an adapter leaves out that belongs to no case: categories awaiting labels, rows without a name.

    Such an adapter has a function ``general(root, videos)``; ``videos`` is None where no media is looked at.
    """
    general = getattr(adapter, "general", None)
    return [] if general is None else list(general(root, videos))


def synonyms(adapter: Adapter, kind: str | None = None) -> dict[str, tuple[str, ...]]:
    """Returns the canonical object names, of one kind or of all, each with its synonyms, in the adapter's order.

    An adapter lists them in ``SYNONYMS``; without it, names are known by their canonical spelling alone.
    """
    others: dict[str, tuple[str, ...]] = getattr(adapter, "SYNONYMS", {})
    return {name: others.get(name, ()) for name, its in adapter.OBJECT_KINDS.items() if kind in (None, its)}


def passed_over(adapter: Adapter) -> tuple[str, ...]:
    """Returns the phrases that hold an object's name and mean something else: ``PASSED_OVER`` of an adapter."""
    phrases: tuple[str, ...] = getattr(adapter, "PASSED_OVER", ())
    return phrases
