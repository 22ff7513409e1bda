"""Closed sets of answers: are they the dataset's labels, in its order."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from suture import registry
from suture.checks.base import Finding, Setting, fail, ok
from suture.errors import SutureError
from suture.predicted import read_labels


def check(setting: Setting) -> Iterator[Finding]:
    """Compares each file of choices with the labels of the dataset."""
    config = setting.config
    if config is None:
        return
    official: tuple[str, ...] = tuple(getattr(registry.dataset(config.adapter), "LABELS", ()))
    for name in sorted({one.predict.choices for one in config.experiments.values() if one.predict.choices}):
        try:
            given = tuple(read_labels(Path(name)))
        except SutureError as error:
            yield fail(f"choices: {error}", "name the file of the dataset's labels")
            continue
        if official and given != official:
            first = next((i for i, pair in enumerate(zip(given, official, strict=False)) if pair[0] != pair[1]), None)
            what = (
                f"label {first} is {given[first]!r}, not {official[first]!r}" if first is not None else "another number"
            )
            yield fail(
                f"{name}: not {config.dataset}'s {len(official)} labels in their order: {what}",
                "take the official order: class numbers are places in it",
            )
        else:
            yield ok(f"{name}: {len(given)} labels" + (", the official ones in their order" if official else ""))
