"""Pushing a model to the hub: only where its data allow it, and nothing with it that is not the model.

A model's folder is gone through file by file before anything is sent: what is
not known to belong to a model is left behind, and a secret or a path of this
machine in any file stops the push.
"""

from __future__ import annotations

import json
import os
import re
import struct
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from fnmatch import fnmatch
from pathlib import Path
from typing import Any

from suture import files, model_folder
from suture.config.publishing import PushToHub
from suture.errors import InputError
from suture.redaction import has_secret

SCHEMA = 1
TOKEN = "HF_TOKEN"

_WEIGHTS = ["*.safetensors", "*.safetensors.index.json"]
_KNOWN = [*_WEIGHTS, "*.json", "*.jinja", "*.txt", "*.model"]
# Beside adapters these would make the folder look like a whole model.
_OF_WHOLE_MODELS = ["config.json", "generation_config.json", *_WEIGHTS]
_VOCABULARY = {"tokenizer.json", "vocab.json", "merges.txt", "added_tokens.json"}
# A text in JSON that is an absolute path, or one that names a usual place of data and homes anywhere.
_PATH = re.compile(
    r'"(?:/[^/"\s]+){2,}/?"|"[A-Za-z]:\\\\[^"]*"'
    r"|(?<![\w:/.~-])/(?:home|root|Users|tmp|var|mnt|media|data|scratch|work|opt|srv|nfs|gpfs|lustre)/[\w.-]"
)


@contextmanager
def staged(model: Path, page: str, options: PushToHub, base: str | None) -> Iterator[tuple[Path, list[str]]]:
    """Gives a folder with what is to be pushed, and the names of what is not.

    Args:
        model: of export_model.py.
        page: text of its README.md.
        options: whether only the adapters are pushed.
        base: the base model's name on the hub, written into the adapters' description.

    Raises:
        InputError: a file holds a secret or a path of this machine, or there are no adapters to push.
    """
    adapter = model / model_folder.ADAPTER
    if options.adapter_only and not adapter.is_dir():
        raise InputError("adapter_only: the model has no adapters", where=model, fix="push the whole model")
    left_out = []
    with tempfile.TemporaryDirectory(prefix="suture-push-") as name:
        folder = Path(name)
        for path in sorted(model.rglob("*")):
            inner = path.relative_to(model)
            if path.is_dir():
                continue
            of_base = options.adapter_only and path.parent != adapter and _matches(path.name, _OF_WHOLE_MODELS)
            known = inner.parent in (Path(), Path(model_folder.ADAPTER)) and _matches(path.name, _KNOWN)
            if of_base or not known or path.name in (model_folder.LIST, model_folder.PAGE):
                left_out.append(inner.as_posix())
                continue
            target = folder / (path.name if options.adapter_only else inner)
            target.parent.mkdir(exist_ok=True)
            target.symlink_to(path.resolve())
        for described in folder.rglob("adapter_config.json"):
            config = files.read_json(described)
            described.unlink()
            files.write_json(described, config | {"base_model_name_or_path": base or ""})
        files.write_text(folder / model_folder.PAGE, page)
        for path in sorted(folder.rglob("*")):
            if path.is_file():
                check(path)
        yield folder, left_out


def check(path: Path) -> None:
    """Refuses a file with a secret or a path of this machine in it; of weights, their header is read.

    Raises:
        InputError: naming the file, not what was found.
    """
    text = _header(path) if path.suffix == ".safetensors" else path.read_text(encoding="utf-8", errors="replace")
    # A vocabulary holds all short words, and things that look like paths.
    vocabulary = path.name in _VOCABULARY
    if has_secret(text, shortest=20 if vocabulary else 8):
        raise InputError("a secret is in a file that was to be pushed", where=path.name, fix="find how it came there")
    folders = {str(folder) for folder in (Path.cwd(), Path.home(), path.resolve().parent) if len(folder.parts) > 2}
    if not vocabulary and (_PATH.search(text) or any(folder in text for folder in folders)):
        raise InputError(
            "a path of this machine is in a file that was to be pushed", where=path.name, fix="export the model again"
        )


def _header(path: Path) -> str:
    """Returns what a safetensors file says beside its tensors (8 bytes little-endian length, then JSON)."""
    with path.open("rb") as handle:
        (length,) = struct.unpack("<Q", handle.read(8))
        return json.dumps(json.loads(handle.read(length)).get("__metadata__", {}))


def token() -> str:
    """Returns the token to push with.

    Raises:
        InputError: the environment has none.
    """
    found = os.environ.get(TOKEN)
    if not found:
        raise InputError(
            f"no token to push with: {TOKEN} is not set",
            fix=f"export {TOKEN}=... with a token that may write (huggingface.co/settings/tokens)",
        )
    return found


def push(folder: Path, options: PushToHub) -> dict[str, Any]:
    """Pushes a staged folder as one commit; weights that an earlier push left there are deleted in it.

    Returns:
        What the receipt holds: repository, commit, address, the digest of each file.

    Raises:
        InputError: the hub refuses, cannot be reached, or has the repository
            public where it should be private.
    """
    from huggingface_hub import HfApi
    from huggingface_hub.errors import HfHubHTTPError

    api = HfApi(token=token())
    try:
        api.create_repo(options.repo_id, private=options.private, exist_ok=True)
        private = bool(api.repo_info(options.repo_id).private)
        if options.private and not private:
            raise InputError(
                f"{options.repo_id} is public already, and this model is to be private",
                fix="make the repository private on its page, take another name, or set private: false",
            )
        done = api.upload_folder(
            repo_id=options.repo_id,
            folder_path=folder,
            commit_message="Upload by Suture",
            delete_patterns=[*_WEIGHTS, "config.json", "adapter_config.json"],
        )
    except (HfHubHTTPError, OSError) as error:
        raise InputError(
            f"cannot push to {options.repo_id}: {error}",
            fix=f"check the network, the name, and that {TOKEN} may write there; then run again",
        ) from error
    return {
        "schema": SCHEMA,
        "repo_id": options.repo_id,
        "private": private,
        "adapter_only": options.adapter_only,
        "commit": done.oid,
        "url": str(done.commit_url),
        "files": {
            path.relative_to(folder).as_posix(): files.sha256_file(path)
            for path in sorted(folder.rglob("*"))
            if path.is_file()
        },
    }


def _matches(name: str, patterns: list[str]) -> bool:
    return any(fnmatch(name, pattern) for pattern in patterns)
