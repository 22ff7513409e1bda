"""What is known of pretrained weights and published datasets that share data: known_overlaps.csv, with sources.

No hash finds what a model saw before its weights were published. ``status`` is
``overlap``, ``unknown`` (the training data are not listed) or ``none known``.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from fnmatch import fnmatchcase
from pathlib import Path

from suture import delimited
from suture.errors import InputError

LIST = Path(__file__).with_suffix(".csv")
STATUSES = ("overlap", "unknown", "none known")
COLUMNS = ("weights", "dataset", "status", "what", "source")


@dataclass(frozen=True, order=True)
class Known:
    """One line of the list; ``weights`` and ``dataset`` are those asked for, not its patterns."""

    weights: str
    dataset: str
    status: str
    what: str
    source: str

    def to_json(self) -> dict[str, str]:
        """Returns the line as plain JSON values."""
        return asdict(self)


def find(weights: Sequence[str], datasets: Sequence[str], path: Path = LIST) -> list[Known]:
    """Returns what the list says of weights (hub ids, names of files) and datasets, in any spelling of case.

    A pattern of the list may have ``*`` in it.

    Raises:
        InputError: a line has an empty cell or another status.
    """
    found = set()
    for row in delimited.read(path, dict.fromkeys(COLUMNS, ()), required=COLUMNS).rows:
        line = Known(*(row.cells[name] for name in COLUMNS))
        if not all(row.cells[name] for name in COLUMNS) or line.status not in STATUSES:
            raise InputError(
                "an empty cell or an unknown status", where=f"{path}:{row.line}", fix=f"one of {', '.join(STATUSES)}"
            )
        for name in weights:
            for dataset in datasets:
                if _fits(name, line.weights) and _fits(dataset, line.dataset):
                    found.add(Known(name, dataset, line.status, line.what, line.source))
    return sorted(found)


def _fits(name: str, pattern: str) -> bool:
    return fnmatchcase(name.casefold(), pattern.casefold())
