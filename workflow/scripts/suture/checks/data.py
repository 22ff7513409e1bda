"""Annotations and media: are they there, and is each case whole."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

from suture import registry
from suture.checks.base import Finding, Setting, fail, ok, warn
from suture.errors import SutureError


def check(setting: Setting) -> Iterator[Finding]:
    """Looks for the files of each case; their content is read by the run."""
    config = setting.config
    if config is None:
        return
    if config.draw is not None and config.draw.kind != "annotations":
        yield ok(f"{len(config.cases or [])} cases are drawn: no data is needed")
        return
    adapter, root = registry.dataset(config.adapter), Path(config.annotations or "")
    where = f"`annotations` must be the folder that dataset {config.dataset} expects (config/README.md)"
    if not root.exists():
        yield fail(f"annotations: there is no {root}", f"get the data, or set its place; {where}")
        return
    try:
        there = adapter.case_ids(root)
    except SutureError as error:
        yield fail(f"annotations: {error.problem}", error.fix or where)
        return
    if not there:
        yield fail(f"annotations: no case under {root}", where)
        return
    cases = config.cases or there
    if missing := sorted(set(cases) - set(there)):
        yield fail(f"cases without annotations: {_some(missing)}", "take them out of `cases`, or get their files")
    cases = [case for case in cases if case in set(there)]
    empty = [str(path) for case in cases for path in adapter.case_files(root, case) if not path.stat().st_size]
    if empty:
        yield fail(f"annotation files of no bytes: {_some(empty)}", "copy or fetch them again")
    if config.draw is not None:
        yield ok(f"{len(cases)} annotated cases; their videos are drawn")
        return
    videos = Path(config.videos or "")
    if not videos.is_dir():
        yield fail(f"videos: there is no folder {videos}", "get the media files, or set `videos` to where they lie")
        return
    media = {case: adapter.case_media(root, videos, case) for case in cases}
    if bare := [case for case, files in media.items() if not files]:
        yield fail(
            f"{len(bare)} of {len(cases)} cases have no media under {videos}: {_some(bare)}",
            "get their files, or name in `cases` those that you have",
        )
    if broken := [str(path) for files in media.values() for path in files if not path.stat().st_size]:
        yield fail(f"media files of no bytes: {_some(broken)}", "copy or fetch them again")
    n_files = sum(map(len, media.values()))
    if n_files and not bare and not broken:
        yield ok(f"{len(cases)} cases with {n_files} media files")
    if len(cases) < 3:
        yield warn(f"{len(cases)} cases cannot make train, val and test by case", "use more, or split.unit: clip")


def _some(names: Sequence[str]) -> str:
    return ", ".join(names[:3]) + (f" and {len(names) - 3} more" if len(names) > 3 else "")
