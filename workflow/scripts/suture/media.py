"""Noticing that a video's content has changed, without a look at its bytes each time.

Videos are large: they enter the DAG as ``ancient``, and their job carries a
revision number instead. The number moves only when the content does. A file
whose size and mtime are as recorded is the same; one that was merely touched
is read once more and compared with the sha256 that cutting recorded.

The records lie in ``.snakemake/``, beside Snakemake's own memory of what it
made: they are of use only together with it.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from pathlib import Path

from suture import files


class MediaIndex:
    """Revision numbers of media files, kept from run to run.

    Args:
        path: the index file; made when the first file is recorded.
        update: whether changes may be looked for and recorded: in the main
            process only, so that a cluster's jobs all see the same numbers.
    """

    def __init__(self, path: Path, *, update: bool) -> None:
        self._path = path
        self._update = update
        self._known: dict[str, dict[str, int]] = files.read_json(path) if path.is_file() else {}

    def revision(self, media: Path, recorded_sha256: Callable[[], str | None]) -> int:
        """Returns the revision of a media file, 0 until its content first changes.

        Args:
            media: the file; one that does not exist has revision 0.
            recorded_sha256: gives the digest that was recorded when the file was
                last used, None where it never was; called only for a touched file.
        """
        known = self._known.get(str(media))
        if not self._update or not media.is_file():
            return known["revision"] if known else 0
        stat = media.stat()
        now = {"size": stat.st_size, "mtime_ns": stat.st_mtime_ns}
        if known is None:
            self._record(media, now | {"revision": 0})
            return 0
        if {key: known[key] for key in now} == now:
            return known["revision"]
        changed = known["size"] != stat.st_size
        if not changed:
            recorded = recorded_sha256()
            if recorded is None:
                # This run has not used the file; another one that has will compare it.
                return known["revision"]
            print(f"suture: {media} was touched; comparing its content", file=sys.stderr)
            changed = files.sha256_file(media) != recorded
        revision = known["revision"] + changed
        self._record(media, now | {"revision": revision})
        return revision

    def _record(self, media: Path, entry: dict[str, int]) -> None:
        self._known[str(media)] = entry

    def save(self) -> None:
        """Writes what was recorded; nothing where nothing changed."""
        text = json.dumps(self._known, indent=0, sort_keys=True)
        if self._update and self._known and (not self._path.is_file() or self._path.read_text() != text):
            files.write_text(self._path, text)
