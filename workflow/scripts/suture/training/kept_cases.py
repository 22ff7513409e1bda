"""Cases that a publisher keeps for testing: refused where samples are trained on, whoever wrote their list."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from suture import registry
from suture.datasets.base import never_trained
from suture.errors import InputError
from suture.records import Sample


def keepers(dataset: str | None) -> dict[str, str]:
    """Returns the cases that are never trained on, each with the dataset that keeps it.

    Args:
        dataset: whose cases they are; None: not known, so every adapter's are kept.
    """
    names = registry.names("dataset adapter") if dataset is None else [dataset]
    return {case: name for name in names for case in never_trained(registry.dataset(name))}


def check(samples: Mapping[str, Sequence[Sample]], dataset: str | None) -> None:
    """Looks at what is trained and validated on, each list under its name.

    Raises:
        InputError: a case among them is kept for testing.
    """
    kept = keepers(dataset)
    for side, rows in samples.items():
        if found := sorted({sample.case for sample in rows} & kept.keys()):
            other = "; where these are other cases of the same name, --dataset NAME says whose" if not dataset else ""
            raise InputError(
                f"{', '.join(found)} in {side}: {kept[found[0]]}'s published test set, which is never trained on",
                fix=f"leave them out{other}",
            )
