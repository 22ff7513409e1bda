"""An experiment's cases out of a split."""

from __future__ import annotations

import pytest

from suture.errors import InputError
from suture.records import Sample
from suture.selection import select


def samples(*cases: str) -> list[Sample]:
    return [Sample(id=f"{case}_0", case=case, clip=f"{case}_0", phase="", turns=()) for case in cases]


SPLITS = {"train": samples("duke_2", "bagls_1", "bagls_3"), "val": samples("bagls_2"), "test": samples("duke_1")}


def ids(patterns: list[str]) -> dict[str, list[str]]:
    return {name: [one.case for one in found] for name, found in select(SPLITS, patterns).items()}


def test_names_and_patterns_choose_in_every_split_and_keep_sides_and_order() -> None:
    assert ids(["bagls_*"]) == {"train": ["bagls_1", "bagls_3"], "val": ["bagls_2"], "test": []}
    assert ids(["duke_?", "bagls_1"]) == {"train": ["duke_2", "bagls_1"], "val": [], "test": ["duke_1"]}


def test_a_pattern_that_names_nothing_is_an_error_with_the_nearest_case() -> None:
    with pytest.raises(InputError, match=r"'duke_11' names none of the 5 cases") as caught:
        select(SPLITS, ["bagls_*", "duke_11"])
    assert "duke_1'" in str(caught.value)
    with pytest.raises(InputError, match="BAGLS"):
        select(SPLITS, ["BAGLS_*"])
