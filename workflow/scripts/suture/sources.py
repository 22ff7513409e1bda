"""Which media file a segment speaks of."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from pathlib import Path, PurePath, PurePosixPath

from suture.datasets.base import Adapter
from suture.errors import InputError
from suture.video.reading import MediaError


def find_media(
    adapter: Adapter, root: Path, videos: Path, case: str, names: Iterable[str]
) -> dict[str, Path | MediaError]:
    """Finds the files of the media that a case's segments name.

    Annotation and file may differ in folder, letter case and suffix: the name
    is looked for as it stands, then by its last part, then without suffix; a
    case with one name and one file needs no match at all. A name may also begin
    with the study's: ``{study}-{image}`` is the file ``{image}``.

    Returns:
        For each name its file, or why there is none (media_missing, media_ambiguous).
    """
    names = sorted(set(names))
    try:
        present = adapter.case_media(root, videos, case)
    except InputError as error:
        unclear = MediaError(error.problem, reason="media_ambiguous", where=error.where, fix=error.fix)
        return dict.fromkeys(names, unclear)
    # Looked up, not searched: a case may have thousands of images.
    by_path, by_name, by_stem = (_grouped(present, key) for key in (str, _name, _stem))
    found: dict[str, Path | MediaError] = {}
    for name in names:
        wanted = PurePosixPath(name)
        matches = by_path.get(str(videos / name)) or by_name.get(_name(wanted)) or by_stem.get(_stem(wanted)) or []
        matches = matches or next((by_stem[one] for one in endings(_stem(wanted)) if one in by_stem), [])
        if not matches and len(names) == len(present) == 1:
            matches = present
        found[name] = matches[0] if len(matches) == 1 else _none_of(videos / name, matches)
    return found


def _grouped(paths: Iterable[Path], key: Callable[[PurePath], str]) -> dict[str, list[Path]]:
    groups: dict[str, list[Path]] = {}
    for path in paths:
        groups.setdefault(key(path), []).append(path)
    return groups


def _name(path: PurePath) -> str:
    return path.name.casefold()


def _stem(path: PurePath) -> str:
    return path.stem.casefold()


def endings(stem: str) -> list[str]:
    """Returns what follows each dash of a name, the longest first: ``{study}-{image}``, and images have dashes too."""
    parts = stem.split("-")
    return ["-".join(parts[start:]) for start in range(1, len(parts))]


def _none_of(path: Path, matches: list[Path]) -> MediaError:
    if matches:
        several = ", ".join(str(match) for match in matches)
        return MediaError(f"several files could be this one: {several}", reason="media_ambiguous", where=path)
    return MediaError("media file not found", reason="media_missing", where=path)
