"""The split as a table: cases, clips, samples and phases of each part, and what two parts share."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from suture import files
from suture.errors import InputError

PARTS = ("train", "val", "test")
COUNTS = ("cases", "clips", "samples")


@dataclass(frozen=True, kw_only=True)
class SplitTable:
    """Counts by part (train, val, test) and by phase; what the split is by, whether it leaks, what to beware of.

    ``overlaps`` counts what occurs in two parts, by what it is: a case, a clip, a media file.
    """

    unit: str
    leaky: bool
    counts: Mapping[str, Mapping[str, int]]
    phases: Mapping[str, Mapping[str, int]]
    warnings: Sequence[str]
    overlaps: Mapping[str, int]

    @property
    def most(self) -> int:
        """The largest phase count: the length of the longest bar."""
        return max((n for counts in self.phases.values() for n in counts.values()), default=1) or 1

    @property
    def names(self) -> list[str]:
        """All phases, sorted."""
        return sorted({phase for counts in self.phases.values() for phase in counts})


def read_split(path: Path) -> SplitTable:
    """Reads split.json as split_dataset writes it.

    Raises:
        InputError: it does not say what the table needs.
    """
    split = files.read_json(path)
    try:
        counts = split["counts"]
        return SplitTable(
            unit=str(split["unit"]),
            leaky=bool(split["leaky"]),
            counts={part: {key: int(counts[part][key]) for key in COUNTS} for part in PARTS if part in counts},
            phases={part: {k: int(n) for k, n in counts[part]["phases"].items()} for part in PARTS if part in counts},
            warnings=[str(line) for line in split.get("warnings", ())],
            overlaps={str(what): int(n) for what, n in split.get("overlaps", {}).items()},
        )
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise InputError(
            f"not a split.json: {type(error).__name__} {error}", where=path, fix="make it again with split_dataset.py"
        ) from error
