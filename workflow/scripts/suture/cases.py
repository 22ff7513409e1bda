"""Reading the annotation of the cases that a command works on; a case that cannot be read costs itself alone."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from suture.datasets.base import Adapter
from suture.delimited import nearest
from suture.errors import InputError
from suture.progress import say
from suture.records import UNREADABLE, Case, Rejection


def chosen(adapter: Adapter, root: Path, wanted: Sequence[str] | None) -> list[str]:
    """Returns the wanted cases, or all, sorted.

    Raises:
        InputError: a case that is not annotated under ``root``, with the nearest name.
    """
    known = adapter.case_ids(root)
    for case in wanted or ():
        if case not in known:
            raise InputError(f"no case {case!r}{nearest(case, known)}", where=root)
    return sorted(set(wanted)) if wanted else known


def read_case(adapter: Adapter, root: Path, case: str, *, command: str) -> Case:
    """Reads one case; one that cannot be read is said on stderr and has nothing but a rejection.

    All commands that read annotations give the same rejection: gathered, it counts once.
    """
    try:
        return adapter.read_case(root, case)
    except InputError as error:
        problem = error.problem if error.where is None else f"{error.problem} ({error.where})"
        say(f"{command}: {case} is left out: {problem}" + (f"; {error.fix}" if error.fix else ""))
        where = _shown(root, error.where or str(root))
        detail = f"{where}: {_shown(root, error.problem)}"
        return Case(
            id=case,
            rejected=(Rejection(stage="annotations", reason=UNREADABLE, case=case, where=where, detail=detail),),
        )


def is_unreadable(case: Case) -> bool:
    """Tells whether a case is one that could not be read."""
    return any(one.reason == UNREADABLE for one in case.rejected)


def _shown(root: Path, text: str) -> str:
    """Takes the place of the annotations out of a text: manifests are the same wherever the data lies."""
    folder = root.parent if root.is_file() else root
    inside = text if folder == Path() else text.replace(f"{folder}/", "")
    return inside.replace(str(root), root.name) if root.is_absolute() else inside
