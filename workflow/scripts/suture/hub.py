"""Models and adapters from the Hugging Face hub: at a pinned commit, once, into the hub's own cache."""

from __future__ import annotations

import hashlib
import os
import re
from pathlib import Path

from suture import files, model_folder
from suture.errors import InputError

COMMIT = re.compile(r"[0-9a-f]{40}")
HUB_ID = re.compile(r"[A-Za-z0-9][\w.-]*/[A-Za-z0-9][\w.-]*")

DESCRIPTIONS = ["*.json", "*.jinja", "*.txt", "*.model", model_folder.PAGE]
"""Configuration, tokenizer, processor; the page, whose head names the licence."""
WEIGHTS = ["*.safetensors"]
PICKLED = ["pytorch_model*.bin", "adapter_model.bin", "*.pth"]
"""Fetched only where there is nothing better. ``training_args.bin`` and optimiser states are never."""


def cached(model: str, revision: str | None, *, flag: str = "--revision") -> Path:
    """Returns the folder of a pinned model or adapter in the hub's cache, fetched if it is not there yet.

    An interrupted download goes on where it stopped. A token for gated models
    comes from the environment variable HF_TOKEN only. Call it before
    :func:`suture.libraries.prepare`, which goes offline.

    Args:
        model: a hub id.
        revision: its commit, 40 hexadecimal digits.
        flag: the option that gives the commit, for the error.

    Raises:
        InputError: no hub id, not pinned, or not to be had.
    """
    if not HUB_ID.fullmatch(model):
        raise InputError(f"model {model!r} is no folder and no hub id", fix="give small, a folder, or owner/name")
    if revision is None or not COMMIT.fullmatch(revision):
        raise InputError(
            f"model {model!r} is not pinned: revision {revision!r} is no commit", fix=pinned_by(model, revision, flag)
        )
    folder = _snapshot(model, revision, [*DESCRIPTIONS, *WEIGHTS])
    if not any(folder.glob("*.safetensors")):
        folder = _snapshot(model, revision, [*DESCRIPTIONS, *PICKLED])
    return folder


def pinned_by(model: str, revision: str | None, flag: str) -> str:
    """Says how to pin a model: by the commit that a branch is at now, where the hub answers.

    Args:
        model: a hub id.
        revision: a branch or tag; None: the main one.
        flag: the option that takes the commit.
    """
    branch = revision or "main"
    try:
        commit = _snapshot(model, branch, ["nothing of it"]).name
    except InputError:  # not there, not ours to see, or no network
        return f"give {flag} with the 40 digits of a commit of the model's page (Files, History)"
    return f"{flag} {commit}  is what {branch!r} is at now"


def _snapshot(model: str, revision: str, patterns: list[str]) -> Path:
    from huggingface_hub import snapshot_download
    from huggingface_hub.errors import HfHubHTTPError, LocalEntryNotFoundError

    try:
        return Path(
            snapshot_download(model, revision=revision, token=os.environ.get("HF_TOKEN"), allow_patterns=patterns)
        )
    except (HfHubHTTPError, LocalEntryNotFoundError, OSError) as error:
        raise InputError(
            f"cannot fetch {model}: {error}",
            fix="check name, revision and network; for a gated model set HF_TOKEN in the environment",
        ) from error


def check(path: Path) -> None:
    """Compares a file of the cache with the digest that the hub gave for it, which is the name it is kept under.

    Large files are named by their sha256, others by git's sha1 of the blob. Where
    the file system has no links, the cache keeps no such names.

    Raises:
        InputError: the content is another one.
    """
    kept = path.resolve().name
    if not path.is_symlink() or not re.fullmatch(r"[0-9a-f]{40}|[0-9a-f]{64}", kept):
        return
    found = files.sha256_file(path) if len(kept) == 64 else _git_blob(path)
    if found != kept:
        raise InputError(
            f"{path.name} is not what the hub has: digest {found[:12]}, there {kept[:12]}",
            where=path.resolve(),
            fix="delete this file and fetch again",
        )


def _git_blob(path: Path) -> str:
    """Returns git's name of a file's content (git-hash-object: sha1 of ``blob LENGTH NUL CONTENT``)."""
    content = path.read_bytes()
    return hashlib.sha1(b"blob %d\0" % len(content) + content, usedforsecurity=False).hexdigest()
