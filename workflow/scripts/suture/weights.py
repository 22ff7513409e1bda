"""Base models: built here, taken from a folder, or fetched from the hub once, with digests."""

from __future__ import annotations

import os
import re
import shutil
from pathlib import Path
from typing import Any

from suture import files, libraries, model_folder, registry
from suture.errors import InputError

LIST = "weights.json"
_COMMIT = re.compile(r"[0-9a-f]{40}")
_HUB_ID = re.compile(r"[A-Za-z0-9][\w.-]*/[A-Za-z0-9][\w.-]*")


def fetch(family: str, model: str, revision: str | None, output: Path) -> dict[str, Any]:
    """Brings a base model into a folder of its own.

    Args:
        family: name of the model family.
        model: ``small``, a folder, or a hub id.
        revision: commit of a hub model, 40 hexadecimal digits.
        output: the folder to write. A folder's files are linked where the file
            system allows it, else copied; they are not changed.

    Returns:
        What is written to weights.json: where the model is from, the digest of
        each file, the number of stored parameters.

    Raises:
        InputError: the model is not there, not pinned, or its weights are not whole.
    """
    with files.atomic_dir(output) as temporary:
        if model == "small":
            source = "small"
            libraries.prepare(threads=1)
            registry.family(family).build_small(temporary)
        elif Path(model).is_dir():
            source = "folder"
            model_folder.check_family(Path(model), family)
            shutil.copytree(model, temporary, copy_function=_link_or_copy, dirs_exist_ok=True)
        else:
            source = "hub"
            _download(model, revision, temporary)
        parameters = model_folder.count_parameters(temporary)
        if not (temporary / "config.json").is_file():
            raise InputError("no config.json in the model folder", where=model, fix="give a Hugging Face model folder")
        (temporary / LIST).unlink(missing_ok=True)
        found = {
            "schema": 1,
            "family": family,
            "source": source,
            "model": model if source == "hub" else None,
            "revision": revision if source == "hub" else None,
            "parameters": parameters,
            "files": {
                path.relative_to(temporary).as_posix(): files.sha256_file(path)
                for path in sorted(temporary.rglob("*"))
                if path.is_file()
            },
        }
        files.write_json(temporary / LIST, found)
    return found


def _link_or_copy(source: str, target: str) -> str:
    real = Path(source).resolve()  # a hub cache is made of links
    try:
        os.link(real, target)
    except OSError:
        shutil.copy2(real, target)
    return target


def _download(model: str, revision: str | None, folder: Path) -> None:
    if not _HUB_ID.fullmatch(model):
        raise InputError(f"model {model!r} is no folder and no hub id", fix="give small, a folder, or owner/name")
    if revision is None or not _COMMIT.fullmatch(revision):
        raise InputError(
            f"model {model!r} is not pinned: revision {revision!r} is no commit",
            fix="give --revision with the 40 digits of a commit of the model's page",
        )
    from huggingface_hub import snapshot_download
    from huggingface_hub.errors import HfHubHTTPError, LocalEntryNotFoundError

    try:
        snapshot_download(
            model,
            revision=revision,
            local_dir=folder,
            token=os.environ.get("HF_TOKEN"),
            allow_patterns=["*.json", "*.safetensors", "*.jinja", "*.txt", "*.model"],
        )
    except (HfHubHTTPError, LocalEntryNotFoundError, OSError) as error:
        raise InputError(
            f"cannot fetch {model}: {error}",
            fix="check name, revision and network; for a gated model set HF_TOKEN in the environment",
        ) from error
    shutil.rmtree(folder / ".cache", ignore_errors=True)
