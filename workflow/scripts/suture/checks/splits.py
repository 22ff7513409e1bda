"""The split: is the publisher's taken where there is one, and are its test cases kept apart."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from pathlib import Path

from suture import registry
from suture.checks.base import Finding, Setting, fail, ok, warn
from suture.datasets.base import never_trained, read_split
from suture.errors import SutureError


def check(setting: Setting) -> Iterator[Finding]:
    """Looks at the publisher's split of the cases that are used."""
    config = setting.config
    if config is None:
        return
    adapter = registry.dataset(config.adapter)
    kept = never_trained(adapter)
    if not kept and not config.split.official:
        return
    if not config.split.official:
        named = sorted(kept if config.cases is None else kept & set(config.cases))
        if named:
            yield fail(
                f"{len(named)} cases are never trained on ({', '.join(named[:5])}), and the split is not the "
                "publisher's",
                "split: {official: true}",
            )
        return
    root = Path(config.annotations or "")
    if config.draw is not None or not root.exists():
        return
    try:
        split = read_split(adapter, root)
    except SutureError as error:
        yield fail(f"split: {error.problem}", error.fix or "take the publisher's files again")
        return
    used = {case: name for case, name in split.items() if config.cases is None or case in config.cases}
    counts = Counter(used.values())
    if wrong := sorted(case for case, name in used.items() if case in kept and name != "test"):
        yield fail(f"test cases outside the test set: {', '.join(wrong)}", "take the publisher's files again")
    for name in ("train", "val", "test"):
        if not counts[name]:
            yield warn(
                f"the publisher's split has no {name} case here", "get those cases' files, or name them in `cases`"
            )
    told = ", ".join(f"{counts[name]} {name}" for name in ("train", "val", "test"))
    yield ok(f"the publisher's split, no case on two sides: {told}")
