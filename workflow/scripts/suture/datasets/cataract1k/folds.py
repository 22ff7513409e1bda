"""The publisher's fold files."""

from __future__ import annotations

import re
from pathlib import Path

from suture import delimited
from suture.datasets.cataract1k import layout
from suture.errors import InputError

_NAME = re.compile(
    r"_(?:fold)?(?P<before>\d+)_(?P<first>train|test|val|validation)$"
    r"|_(?P<last>train|test|val|validation)_(?:fold)?(?P<after>\d+)$",
    re.IGNORECASE,
)


def read_folds(folder: Path) -> list[dict[str, list[str]]]:
    """Reads the fold files of one folder, named like ``Cat1k_instrument_0_train.csv`` or ``..._test_fold0.csv``.

    Their columns are an index (unnamed or ``Unnamed: 0``), ``imgs`` and
    ``masks``. The paths are those of the authors' machine: the case is taken
    from the file name alone.

    Returns:
        One dict a fold, in order of the folds' numbers: train, test and, where
        there is one, val, each the sorted ids of its cases.

    Raises:
        InputError: no fold files, an image without a case, two files for one
            split, a split missing, or a case in two splits of one fold.
    """
    folds: dict[int, dict[str, list[str]]] = {}
    for path in sorted(folder.glob("*.csv")):
        match = _NAME.search(path.stem)
        if match is None:
            continue
        fold = folds.setdefault(int(match["before"] or match["after"]), {})
        split = (match["first"] or match["last"]).lower().replace("validation", "val")
        if split in fold:
            raise InputError(
                f"a second {split} file for one fold", where=path, fix="keep one family of fold files in a folder"
            )
        fold[split] = _cases(path)
    if not folds:
        raise InputError(
            "no fold files found",
            where=folder,
            fix="give the folder with files named like Cat1k_instrument_0_train.csv",
        )
    for number, fold in sorted(folds.items()):
        _check(folder, number, fold)
    return [folds[number] for number in sorted(folds)]


def _cases(path: Path) -> list[str]:
    cases = set()
    for row in delimited.read(path, {"imgs": ()}, required=["imgs"]).rows:
        name = re.split(r"[/\\]", row.cells["imgs"])[-1]
        case = layout.case_of_image(name)
        if case is None:
            raise InputError(f"no case in the file name {name!r}", where=f"{path}:{row.line}")
        cases.add(case)
    return sorted(cases)


def _check(folder: Path, number: int, fold: dict[str, list[str]]) -> None:
    for split in ("train", "test"):
        if not fold.get(split):
            raise InputError(f"fold {number} has no {split} cases", where=folder, fix="add the missing file")
    owner: dict[str, str] = {}
    for split, cases in sorted(fold.items()):
        for case in cases:
            if case in owner:
                raise InputError(
                    f"fold {number}: {case} is in {owner[case]} and in {split}",
                    where=folder,
                    fix="a case belongs to one split of a fold: repair the fold files",
                )
            owner[case] = split
