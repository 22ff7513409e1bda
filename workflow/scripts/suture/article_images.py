"""Images of PubMed Central articles: each article's archive fetched once, the named images taken out of it.

The list is LLaVA-Med's llava_med_image_urls.jsonl, a row an image:
``{"pair_id", "pmc_tar_url", "image_file_path"}``. The archives together are
terabytes, the images some 70 GB: an archive is deleted once its images are out.
"""

from __future__ import annotations

import json
import shutil
import tarfile
import time
import urllib.error
import urllib.request
import zlib
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any
from urllib.parse import urlsplit

from PIL import Image, UnidentifiedImageError

from suture import files
from suture.errors import InputError
from suture.progress import progress
from suture.records import Rejection

STAGE = "fetch_images"
_CHUNK = 1 << 20
_BY_HTTPS = "ftp.ncbi.nlm.nih.gov"
"""A server whose ftp links are the same over https."""


@dataclass(frozen=True, kw_only=True)
class Wanted:
    """An image of an archive: ``member`` is its path there, ``name`` the file to write."""

    url: str
    member: str
    name: str
    row: int


@dataclass(frozen=True, kw_only=True)
class Limits:
    """Bounds of a download: megabytes of one archive and of one image, seconds without a byte, tries."""

    archive_mb: float = 500
    image_mb: float = 50
    seconds: float = 60
    tries: int = 3


class FetchError(Exception):
    """An archive that could not be used: ``reason`` is the code of its rejections."""

    def __init__(self, reason: str, problem: str) -> None:
        super().__init__(problem)
        self.reason = reason


def read_list(path: Path) -> tuple[list[Wanted], list[Rejection]]:
    """Reads the list of images; an odd row is a rejection with its line.

    Raises:
        InputError: the file is missing or has no usable row.
    """
    wanted: dict[str, Wanted] = {}
    rejected: list[Rejection] = []
    for number, line in enumerate(files.read_text(path).split("\n"), start=1):
        if not line.strip():
            continue
        one = _row(line, number)
        if isinstance(one, str):
            rejected.append(_rejection("corrupt_row", f"{path.name}:{number}", one))
        elif wanted.setdefault(one.name, one) is not one and wanted[one.name].member != one.member:
            rejected.append(_rejection("duplicate_image", f"{path.name}:{number}", f"another {one.name}"))
    if not wanted:
        raise InputError(
            "no image in this list", where=path, fix='rows are {"pair_id", "pmc_tar_url", "image_file_path"}'
        )
    return list(wanted.values()), rejected


def _row(line: str, number: int) -> Wanted | str:
    try:
        value: Any = json.loads(line)
        pair, url, member = (str(value[key]) for key in ("pair_id", "pmc_tar_url", "image_file_path"))
    except (ValueError, KeyError, TypeError) as error:
        return f"not a row of the list: {error!r}"
    parts = urlsplit(url)
    if parts.scheme == "ftp" and parts.hostname == _BY_HTTPS:
        url = f"https{url.removeprefix('ftp')}"
    elif parts.scheme not in ("https", "http") or not parts.hostname:
        return f"no address that can be fetched: scheme {parts.scheme!r}"
    if not pair or "/" in pair or pair.startswith(".") or ".." in PurePosixPath(member).parts:
        return "a name that leads out of its folder"
    return Wanted(url=url, member=member, name=f"{pair}{PurePosixPath(member).suffix.lower() or '.jpg'}", row=number)


def fetch(
    wanted: Sequence[Wanted], images: Path, limits: Limits, *, workers: int, seen: set[str] | None = None
) -> list[Rejection]:
    """Fetches what is not there yet, archive by archive.

    Args:
        wanted: images; those whose file is there are passed over.
        images: folder of the images; unfinished archives lie in ``.archives/`` in it and go on where they stopped.
        limits: of size and time.
        workers: archives fetched at once.
        seen: filled with the names that were written.

    Returns:
        What could not be fetched, sorted.
    """
    images.mkdir(parents=True, exist_ok=True)
    waiting: dict[str, list[Wanted]] = {}
    for one in wanted:
        if not (images / one.name).is_file():
            waiting.setdefault(one.url, []).append(one)
    folder = images / ".archives"
    folder.mkdir(exist_ok=True)
    written = set() if seen is None else seen

    def one_archive(url: str) -> list[Rejection]:
        try:
            missing = _take(_download(url, folder, limits), waiting[url], images, limits, written)
        except FetchError as error:
            missing = {one.name: (error.reason, str(error)) for one in waiting[url]}
        return [_rejection(reason, f"row {_row_of(waiting[url], name)}", f"{name}: {problem}")
                for name, (reason, problem) in missing.items()]  # fmt: skip

    with ThreadPoolExecutor(max_workers=workers) as pool:
        done = pool.map(one_archive, sorted(waiting))
        found = [one for many in progress(done, what="archives", unit="archive", total=len(waiting)) for one in many]
    with suppress(OSError):  # unfinished archives stay for the next run
        folder.rmdir()
    return sorted(found, key=lambda one: (one.reason, one.where, one.detail))


def _row_of(wanted: Sequence[Wanted], name: str) -> int:
    return next(one.row for one in wanted if one.name == name)


def _rejection(reason: str, where: str, detail: str) -> Rejection:
    return Rejection(stage=STAGE, reason=reason, case="", where=where, detail=f"{where}: {detail}")


def _download(url: str, folder: Path, limits: Limits) -> Path:
    """Fetches an archive; what came before a break is kept, and the rest asked for."""
    target = folder / f"{files.sha256_text(url)[:16]}.tar.gz"
    part = target.with_suffix(".part")
    for attempt in range(limits.tries):
        try:
            if _go_on(url, part, limits):
                part.replace(target)
                return target
            problem = "the connection ended early"
        except urllib.error.HTTPError as error:
            if error.code == 416:  # what is there is no beginning of it
                part.unlink(missing_ok=True)
            elif error.code < 500:
                raise FetchError("not_there", f"the server answers {error.code}") from error
            problem = f"the server answers {error.code}"
        except (urllib.error.URLError, TimeoutError, OSError) as error:
            problem = f"{error}"
        if attempt + 1 < limits.tries:
            time.sleep(min(2.0**attempt, 30.0) * 0.2)
    raise FetchError("not_fetched", f"{problem}, {limits.tries} times")


def _go_on(url: str, part: Path, limits: Limits) -> bool:
    """Asks for what is missing of an archive; True when it is whole.

    Raises:
        FetchError: it is larger than allowed.
    """
    have = part.stat().st_size if part.is_file() else 0
    request = urllib.request.Request(url, headers={"Range": f"bytes={have}-"} if have else {})
    most = int(limits.archive_mb * 1e6)
    with urllib.request.urlopen(request, timeout=limits.seconds) as answer:
        goes_on = answer.status == 206
        length = answer.headers.get("Content-Length")
        whole = None if length is None else int(length) + (have if goes_on else 0)
        if whole is not None and whole > most:
            raise FetchError("too_large", f"an archive of {whole / 1e6:.0f} MB, allowed are {limits.archive_mb:g}")
        with part.open("ab" if goes_on else "wb") as out:
            while block := answer.read(_CHUNK):
                out.write(block)
                if out.tell() > most:
                    raise FetchError("too_large", f"an archive of more than {limits.archive_mb:g} MB")
            return whole is None or out.tell() == whole


def _take(
    archive: Path, wanted: Sequence[Wanted], images: Path, limits: Limits, written: set[str]
) -> Mapping[str, tuple[str, str]]:
    """Takes the named images out of an archive, which is read to its end before one of them counts."""
    by_member = {PurePosixPath(one.member).as_posix(): one for one in wanted}
    missing = {one.name: ("not_in_archive", "the archive has no such file") for one in wanted}
    made: list[tuple[Path, Path]] = []
    try:
        with tarfile.open(archive, "r:gz") as opened:
            for member in opened:
                one = by_member.get(PurePosixPath(member.name).as_posix())
                if one is None or not member.isfile():
                    continue
                if member.size > limits.image_mb * 1e6:
                    missing[one.name] = ("too_large", f"an image of {member.size / 1e6:.0f} MB")
                    continue
                source = opened.extractfile(member)
                assert source is not None
                temporary = images / ".archives" / f"{one.name}.tmp"
                with temporary.open("wb") as out:
                    shutil.copyfileobj(source, out)
                made.append((temporary, images / one.name))
    except (tarfile.TarError, EOFError, OSError, zlib.error) as error:
        for temporary, _ in made:
            temporary.unlink(missing_ok=True)
        archive.unlink()
        raise FetchError("archive_damaged", f"not a whole archive: {error}") from error
    for temporary, target in made:
        problem = _problem(temporary)
        if problem:
            temporary.unlink()
            missing[target.name] = ("image_damaged", problem)
        else:
            temporary.replace(target)
            written.add(target.name)
            del missing[target.name]
    archive.unlink()
    return missing


def _problem(path: Path) -> str:
    try:
        with Image.open(path) as image:
            image.verify()
    except (UnidentifiedImageError, Image.DecompressionBombError, OSError, SyntaxError, ValueError) as error:
        return f"not an image: {type(error).__name__}"
    return ""
