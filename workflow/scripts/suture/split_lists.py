"""Fixed lists of cases: a published or agreed split that must be kept."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from suture import delimited
from suture.datasets.base import Adapter
from suture.errors import ConfigError, InputError
from suture.splitting import SPLITS


def read(path: Path) -> dict[str, str]:
    """Reads a CSV with the columns case and split (train, val or test) as split by case.

    Raises:
        InputError: a missing column, an empty case, another split name, or a
            case in two splits; file and line are named.
    """
    table = delimited.read(path, {"case": ("case id",), "split": ()}, required=["case", "split"])
    split_of: dict[str, str] = {}
    for row in table.rows:
        case, split, where = row.cells["case"], row.cells["split"].lower(), f"{path}:{row.line}"
        if not case:
            raise InputError("a row without a case", where=where)
        if split not in SPLITS:
            raise InputError(
                f"split {row.cells['split']!r} is not known", where=where, fix=f"one of {', '.join(SPLITS)}"
            )
        if split_of.setdefault(case, split) != split:
            raise InputError(f"{case} is in {split_of[case]} and in {split}", where=where, fix="keep one of the rows")
    if not split_of:
        raise InputError("no cases listed", where=path)
    return split_of


def fixed(assign: Path | None, cases_test: Sequence[str]) -> dict[str, str]:
    """Returns split by case from a list file and the test cases named on the command line.

    Raises:
        ConfigError: a case that the file puts into another split than test.
    """
    listed = read(assign) if assign is not None else {}
    for case in cases_test:
        if listed.setdefault(case, "test") != "test":
            raise ConfigError(f"--cases-test names {case}, which {assign} puts into {listed[case]}")
    return listed


def official(adapter: Adapter, folder: Path, fold: int) -> dict[str, str]:
    """Reads one of a publisher's own folds as split by case.

    Cases that it does not name are dealt to the splits that it does not have.

    Raises:
        InputError: the data set has no fold files, or not this fold.
    """
    read_folds = getattr(adapter, "read_folds", None)
    if read_folds is None:
        raise InputError(
            "this data set's publisher gave no fold files", where=folder, fix="--folds makes folds by case"
        )
    folds = read_folds(folder)
    if not 0 <= fold < len(folds):
        raise InputError(f"there is no fold {fold}", where=folder, fix=f"0 to {len(folds) - 1}")
    return {case: split for split, cases in folds[fold].items() for case in cases}
