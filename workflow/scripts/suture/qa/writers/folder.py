"""Naming the weights of a local folder by their content."""

from __future__ import annotations

from pathlib import Path

from suture import digest, files
from suture.model_folder import LIST


def revision_of(folder: Path) -> str:
    """Returns a digest of a model folder: of the list of digests that fetch_weights.py left there, or of its files."""
    listed = folder / LIST
    paths = [listed] if listed.is_file() else sorted(path for path in folder.iterdir() if path.is_file())
    return digest.join(*(f"{path.name} {files.sha256_file(path)}" for path in paths))
