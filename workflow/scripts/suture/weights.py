"""Base models: built here, taken from a folder, or fetched from the hub once, with digests."""

from __future__ import annotations

import os
import shutil
from collections.abc import Sequence
from fnmatch import fnmatch
from pathlib import Path
from typing import Any

import yaml

from suture import files, hub, libraries, model_folder, registry, untold
from suture.errors import InputError
from suture.progress import progress

LIST = model_folder.LIST
_OF_TRAINING = ["training_args.bin", "optimizer*", "scheduler*", "scaler*", "rng_state*", "trainer_state.json"]
_OTHERS = {"adapter", "onnx", "original", ".git", ".cache"}


def fetch(
    family: str,
    model: str,
    revision: str | None,
    output: Path,
    *,
    classes: list[str] | None = None,
    num_frames: int | None = None,
    assume: Sequence[str] | None = None,
) -> dict[str, Any]:
    """Brings a base model into a folder of its own.

    Args:
        family: name of the model family.
        model: ``small`` or another model that the family builds, a folder, a
            file that the family reads, or a hub id; for a family put together of
            several, folders or hub ids joined by ``+``.
        revision: commit of a hub model, 40 hexadecimal digits; of several, joined by ``+``.
        output: the folder to write. Files of a folder, or of the hub's cache,
            are linked where the file system allows it, else copied; they are
            not changed. Pickled weights become safetensors.
        classes: names for the classes of a file's head, where it has one.
        num_frames: frames that the video encoder is to take, of a family where its user says so.
        assume: what a file does not tell, see :mod:`suture.untold`.

    Returns:
        What is written to weights.json: where the model is from, the digest of
        each file, the number of stored parameters, and how its tensors fit its class.

    Raises:
        InputError: the model is not there, not pinned, or its weights are not
            whole, not harmless or not those of its class.
    """
    source = _source(family, model)
    if classes and source != "file":
        raise InputError("labels are for the head of a checkpoint file", fix="leave them out")
    if assume and source != "file":
        raise InputError("--assume is of a checkpoint file; a model's folder tells it all", fix="leave it out")
    told = untold.read(family, assume)
    if num_frames is not None and source == "file":
        told["num_frames"] = num_frames
    folder = Path(model) if source == "folder" else hub.cached(model, revision) if source == "hub" else None
    parts = _parts(model, revision) if source == "parts" else []
    libraries.prepare(threads=1)  # not before: it goes offline
    from suture import weights_table

    left_out: list[str] = []
    with files.atomic_dir(output) as temporary:
        taken: dict[str, Any] = {}
        if source == "small":
            registry.family(family).build_small(temporary)
        elif source == "built":
            registry.family(family).build(model, temporary)
        elif source == "file":
            taken = {"checkpoint": registry.family(family).take_file(Path(model), temporary, classes, **told)}
        elif source == "parts":
            for path in (inner for part in parts for inner in sorted(part.rglob("*"))):
                hub.check(path)
            registry.family(family).assemble(parts, temporary)
        if folder is not None:
            model_folder.check_family(folder, family)
            for path in sorted(folder.rglob("*")) if source == "hub" else ():
                hub.check(path)
            left_out = _take(folder, temporary)
        if num_frames is not None:
            _show_frames(family, temporary, num_frames)
        parameters = model_folder.count_parameters(temporary)
        if not (temporary / "config.json").is_file():
            raise InputError("no config.json in the model folder", where=model, fix="give a Hugging Face model folder")
        table = weights_table.compare(temporary, getattr(registry.family(family), "MODEL", None))
        weights_table.check(table, where=model)
        members = sorted(path for path in temporary.rglob("*") if path.is_file())
        found = {
            "schema": 1,
            "family": family,
            "source": source,
            "model": model if source == "hub" or revision else None,
            "revision": revision,
            "license": _license(temporary / model_folder.PAGE),
            "parameters": parameters,
            "tensors": table.to_json(),
            "left_out": left_out,
            **taken,
            "files": {
                path.relative_to(temporary).as_posix(): files.sha256_file(path)
                for path in progress(members, what="digests", unit="file")
            },
        }
        files.write_json(temporary / LIST, found)
    return found


def _source(family: str, model: str) -> str:
    """Says what the name of a model is of: small, built, folder, file or hub."""
    known = registry.literals("model family", family)
    if model == "small":
        return "small"
    if model in known.get("BUILT", ()):
        return "built"
    if Path(model).is_dir():
        return "folder"
    if "+" in model:
        return "parts"
    if not Path(model).is_file():
        return "hub"
    if not takes_files(family):
        raise InputError("a file; this family's models are folders", where=model, fix="give the folder")
    return "file"


def takes_files(family: str) -> bool:
    """Tells whether a family reads checkpoint files of its own."""
    known = registry.literals("model family", family)
    return bool(known.get("TAKES_FILES")) or known.get("ANSWERS", "texts") == "classes"


def _parts(model: str, revision: str | None) -> list[Path]:
    """Returns the folders of a model that is put together of several, fetched where they are on the hub."""
    names = model.split("+")
    pins: list[str | None] = list(revision.split("+")) if revision else [None] * len(names)
    if len(pins) != len(names):
        raise InputError(f"{len(pins)} revisions for {len(names)} models", fix="join one commit for each by +")
    return [Path(name) if Path(name).is_dir() else hub.cached(name, pin) for name, pin in zip(names, pins, strict=True)]


def _show_frames(family: str, folder: Path, num_frames: int) -> None:
    show = getattr(registry.family(family), "show_frames", None)
    if show is None:
        raise InputError(f"the number of frames of {family} is not its user's", fix="leave out num_frames")
    show(folder, num_frames)


def _take(folder: Path, target: Path) -> list[str]:
    """Links a model's files into a folder; pickled weights are converted where there are no others.

    Returns:
        What of the folder is not taken: nothing that a model needs.
    """
    wanted = [*hub.DESCRIPTIONS, *hub.WEIGHTS]
    left_out = []
    for path in sorted(folder.rglob("*")):
        inner = path.relative_to(folder)
        if path.is_dir() or inner.as_posix() == LIST:
            continue
        other = next((part for part in inner.parts[:-1] if part in _OTHERS), None)
        if other:
            left_out += [] if other in left_out else [other]
        elif _matches(path.name, wanted) and not _matches(path.name, _OF_TRAINING):
            (target / inner).parent.mkdir(parents=True, exist_ok=True)
            _link_or_copy(path, target / inner)
        else:
            left_out.append(inner.as_posix())
    if any(target.glob("*.safetensors")):
        return left_out
    sources = [folder / name for name in left_out if "/" not in name and _is_pickled(name)]
    if sources:
        from suture import pickled

        for index in target.glob("*.bin.index.json"):
            index.unlink()
        beside = pickled.convert(sources, target)
        left_out = [name for name in left_out if folder / name not in sources] + beside
    return left_out


def _is_pickled(name: str) -> bool:
    return _matches(name, ["*.bin", "*.pth"]) and not _matches(name, _OF_TRAINING)


def _matches(name: str, patterns: list[str]) -> bool:
    return any(fnmatch(name, pattern) for pattern in patterns)


def _link_or_copy(source: Path, target: Path) -> None:
    real = source.resolve()  # a hub cache is made of links
    try:
        os.link(real, target)
    except OSError:
        shutil.copy2(real, target)


def _license(page: Path) -> str | None:
    """Returns the licence that the head of a model's page names."""
    if not page.is_file():
        return None
    parts = page.read_text(encoding="utf-8", errors="replace").split("---", 2)
    try:
        head = yaml.safe_load(parts[1]) if len(parts) == 3 and not parts[0].strip() else None
    except yaml.YAMLError:
        return None
    named = head.get("license") if isinstance(head, dict) else None
    return named if isinstance(named, str) else None
