"""What lies in a model folder beside the library's own files, and what its weights hold.

``suture.json`` says which family a model belongs to and which system prompt it
was trained with: one text for training and prediction. Weights are looked at
by their safetensors headers, without loading a tensor.
"""

from __future__ import annotations

import hashlib
import json
import math
import struct
from pathlib import Path
from typing import Any

from suture import files
from suture.errors import InputError

CARD = "suture.json"
LIST = "weights.json"
"""What fetch_weights.py found: where a base is from, the digests of its files, how its tensors fit its class."""
ADAPTER = "adapter"
"""The folder in a model folder that holds the adapters merged into it."""
PAGE = "README.md"
"""A model's page on the hub."""
SCHEMA = 1


def write_card(folder: Path, *, family: str, system_prompt: str, **more: Any) -> None:
    """Writes ``suture.json``."""
    files.write_json(
        folder / CARD, {"schema": SCHEMA, "family": family, "system_prompt": system_prompt, **more}, sort_keys=True
    )


def read_card(folder: Path) -> dict[str, Any]:
    """Reads ``suture.json``; a folder from elsewhere has none: an empty dict.

    Raises:
        InputError: the folder is missing, or its card is of another version.
    """
    if not folder.is_dir():
        raise InputError("model folder not found", where=folder, fix="fetch_weights.py makes one")
    if not (folder / CARD).is_file():
        return {}
    card: dict[str, Any] = files.read_json(folder / CARD)
    if card.get("schema") != SCHEMA:
        raise InputError("written by another version of Suture", where=folder / CARD, fix="make the folder again")
    return card


def check_family(folder: Path, family: str) -> None:
    """Refuses a folder whose card names another family.

    Raises:
        InputError: naming both.
    """
    found = read_card(folder).get("family", family)
    if found != family:
        raise InputError(f"a model of family {found!r}, not {family!r}", where=folder, fix=f"use --family {found}")


def weight_files(folder: Path) -> list[Path]:
    """Lists the safetensors files of a folder, sorted.

    Raises:
        InputError: there is none.
    """
    found = sorted(folder.glob("*.safetensors"))
    if not found:
        raise InputError(
            "no *.safetensors file in the model folder", where=folder, fix="save the weights as safetensors"
        )
    return found


def tensors(folder: Path) -> dict[str, tuple[str, tuple[int, ...]]]:
    """Returns dtype and shape of each tensor in a folder's weights, by name.

    Format: 8 bytes little-endian length, then that many bytes of JSON
    (huggingface.co/docs/safetensors).

    Raises:
        InputError: a file is cut off or is not safetensors.
    """
    found: dict[str, tuple[str, tuple[int, ...]]] = {}
    for path in weight_files(folder):
        with path.open("rb") as handle:
            try:
                (length,) = struct.unpack("<Q", handle.read(8))
                if length > path.stat().st_size:
                    raise ValueError("header longer than the file")
                header = json.loads(handle.read(length))
                header.pop("__metadata__", None)
                size = 8 + length + max((entry["data_offsets"][1] for entry in header.values()), default=0)
                if size != path.stat().st_size:
                    raise ValueError(f"{path.stat().st_size} bytes, its header says {size}")
            except (struct.error, ValueError, KeyError, AttributeError) as error:
                raise InputError(
                    f"not a whole safetensors file: {error}", where=path, fix="fetch or copy it again"
                ) from error
        found |= {name: (entry["dtype"], tuple(entry["shape"])) for name, entry in header.items()}
    return found


def count_parameters(folder: Path) -> int:
    """Counts the numbers stored in a folder's weights; tied tensors are stored once."""
    return sum(math.prod(shape) for _, shape in tensors(folder).values())


def weights_digest(folder: Path) -> str:
    """Returns one digest of all weight files of a folder, by name and content."""
    lines = [f"{path.name} {files.sha256_file(path)}" for path in weight_files(folder)]
    return hashlib.sha256("\n".join(lines).encode()).hexdigest()
