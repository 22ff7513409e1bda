"""What is said about a split: the parts of split.json that are counted, and the table a user reads."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

from suture.overlap import Overlap
from suture.records import Sample
from suture.splitting import SPLITS, Groups

Splits = Mapping[str, Sequence[Sample]]


def counts(splits: Splits) -> dict[str, dict[str, Any]]:
    """Counts each split's cases, clips, samples (rows as written) and samples by phase."""
    phases = sorted({sample.phase for rows in splits.values() for sample in rows})
    return {
        name: {
            "cases": len({sample.case for sample in rows}),
            "clips": len({sample.clip for sample in rows}),
            "samples": len(rows),
            "phases": {phase: sum(sample.phase == phase for sample in rows) for phase in phases},
        }
        for name, rows in splits.items()
    }


def warnings(splits: Splits, listed: Sequence[str]) -> list[str]:
    """Says which phases a split lacks, and which listed cases have no samples."""
    lines = [
        f"{phase} does not occur in {name}"
        for name, one in counts(splits).items()
        for phase, n in one["phases"].items()
        if one["samples"] and not n
    ]
    have = {sample.case for rows in splits.values() for sample in rows}
    return lines + [f"{case} is listed and has no samples" for case in sorted(set(listed) - have)]


def overlaps(found: Sequence[Overlap]) -> dict[str, int]:
    """Counts the values that two splits share, by what they are."""
    return dict(sorted(Counter(one.what for one in found).items()))


def merged(groups: Groups) -> list[list[str]]:
    """Lists the cases that were kept together because they share media."""
    members: dict[str, list[str]] = {}
    for case, group in groups.items():
        members.setdefault(group, []).append(case)
    return [sorted(cases) for _, cases in sorted(members.items()) if len(cases) > 1]


def table(report: Mapping[str, Any]) -> str:
    """Returns the lines a user reads: counts, phases by split, and whether it leaks."""
    parts = [report["counts"][name] for name in SPLITS]
    rows = [("", list(SPLITS))]
    rows += [(unit, [str(part[unit]) for part in parts]) for unit in ("cases", "clips", "samples")]
    rows += [(f"  {phase}", [str(part["phases"][phase]) for part in parts]) for phase in parts[0]["phases"]]
    width = max(len(name) for name, _ in rows)
    lines = [f"{name:<{width}}" + "".join(f"{cell:>8}" for cell in cells) for name, cells in rows]
    return "\n".join([*lines, f"split by {report['unit']}" + (", LEAKY" if report["leaky"] else "")])
