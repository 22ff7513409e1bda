"""The replies of a shard, appended as they come: what a killed run had is not asked for again.

Each batch is written in one piece and on the disk before the next one is open.
A reply is looked up by its request's id, so a rerun takes what still fits and
asks for the rest. A line that a kill left half-written is cut off.
"""

from __future__ import annotations

import dataclasses
import fcntl
import json
import os
from collections.abc import Sequence
from pathlib import Path
from types import TracebackType
from typing import Self

from suture.errors import InputError
from suture.qa.requests import Reply


class Journal:
    """An append-only file of replies, for one job at a time.

    Args:
        path: JSON Lines. Only its owner reads it: replies are made of facts about patients.

    Raises:
        InputError: another job writes to it, or a line before the last is no reply.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self.replies: dict[str, Reply] = {}
        path.parent.mkdir(parents=True, exist_ok=True)
        self._handle = os.fdopen(os.open(path, os.O_RDWR | os.O_CREAT | os.O_APPEND, 0o600), "r+b")
        try:
            fcntl.flock(self._handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            self._handle.close()
            raise InputError("another job writes to this file", where=path, fix="wait for it, or end it") from error
        self.cut_off = self._read()

    def _read(self) -> int:
        """Takes in the file; returns how many bytes of a half-written last line were cut off."""
        content = self._handle.read()
        whole = content.rfind(b"\n") + 1
        for number, line in enumerate(content[:whole].splitlines(), start=1):
            try:
                reply = Reply(**json.loads(line))
            except (ValueError, TypeError) as error:
                raise InputError(
                    "not a reply of a language model",
                    where=f"{self._path}:{number}",
                    fix="take the line out; what it held is asked for again",
                ) from error
            self.replies.setdefault(reply.id, reply)
        if whole < len(content):
            self._handle.truncate(whole)
        return len(content) - whole

    def add(self, replies: Sequence[Reply]) -> None:
        """Appends a batch and waits until the disk has it; a reply that is there already is passed over."""
        new = {reply.id: reply for reply in replies if reply.id not in self.replies}
        if not new:
            return
        lines = (json.dumps(dataclasses.asdict(one), sort_keys=True, ensure_ascii=False) for one in new.values())
        self._handle.write("".join(line + "\n" for line in lines).encode())
        self._handle.flush()
        os.fsync(self._handle.fileno())
        self.replies |= new

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._handle.close()
