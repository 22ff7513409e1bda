"""Which samples an experiment is about: those of its cases, in every split."""

from __future__ import annotations

import difflib
from collections.abc import Mapping, Sequence
from fnmatch import fnmatchcase

from suture.errors import InputError
from suture.records import Sample


def select(splits: Mapping[str, Sequence[Sample]], patterns: Sequence[str]) -> dict[str, list[Sample]]:
    """Returns, by split, the samples whose case is named by a pattern; their order is kept.

    Args:
        splits: samples by name of their split.
        patterns: case ids, or shell patterns of them: ``bagls_*``.

    Raises:
        InputError: a pattern names no case of any split.
    """
    cases = sorted({sample.case for samples in splits.values() for sample in samples})
    for pattern in patterns:
        if not any(fnmatchcase(case, pattern) for case in cases):
            near = difflib.get_close_matches(pattern, cases, n=1)
            raise InputError(
                f"cases: {pattern!r} names none of the {len(cases)} cases that have samples",
                fix=f"for example {(near or cases)[0]!r}" if cases else "give another pattern",
            )
    wanted = {case for case in cases if any(fnmatchcase(case, pattern) for pattern in patterns)}
    return {name: [sample for sample in samples if sample.case in wanted] for name, samples in splits.items()}
