"""The published split: ``dataset_splits.json`` lists the images of each split by category."""

from __future__ import annotations

from pathlib import Path

from suture import files
from suture.datasets.fetal_ultrasound import categories
from suture.errors import InputError

_SPLITS = ("train", "val", "test")


def read_split(path: Path) -> dict[str, str]:
    """Reads ``{"splits": {split: {category: ["Abdomen/Abdomen_001.png", ...]}}}`` as split by case.

    A case is an image here: the published split knows no patients.

    Args:
        path: the file, or the folder of the sheets that it lies beside.

    Raises:
        InputError: no file, another layout, or an image in two splits.
    """
    path = path / "dataset_splits.json" if path.is_dir() else path
    table = files.read_json(path)
    splits = table.get("splits") if isinstance(table, dict) else None
    if not isinstance(splits, dict) or not set(splits) & set(_SPLITS):
        raise InputError("not a published split", where=path, fix='{"splits": {"train": {"Abdomen": ["..."]}}}')
    split_of: dict[str, str] = {}
    for split in sorted(splits):
        if split not in _SPLITS:
            raise InputError(f"split {split!r} is not known", where=path, fix=f"one of {', '.join(_SPLITS)}")
        for category, listed in sorted(splits[split].items()):
            for image in listed:
                case = categories.case_id(categories.canonical(category), image)
                if split_of.setdefault(case, split) != split:
                    raise InputError(f"{image} is in {split_of[case]} and in {split}", where=path)
    return split_of
