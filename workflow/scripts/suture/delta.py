"""Delta weights: a model published as its difference from one that its publisher may not pass on.

target = base + delta, tensor by tensor. Rows of new tokens and the projector,
which the base does not have, stand in the delta as they are. As
llava/model/apply_delta.py of LLaVA-Med 1.0 adds them, whose numbers are of the
delta's type, float16; but nothing is left out or filled in unseen.
"""

from __future__ import annotations

import json
import re
import shutil
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch

from suture import files
from suture.errors import InputError
from suture.tensor_files import Spec, TensorFolder, write

RECORD = "applied_delta.json"
_NEW = re.compile(r"model\.mm_projector\.[\w.]+")
"""What a base does not have: LLaVA's projector, of one layer or several."""
_GROWN = ("model.embed_tokens.weight", "lm_head.weight")
"""What has a row for each token: more of them than in the base."""
_COMPUTED = re.compile(r".*\.rotary_emb\.inv_freq")
"""Written out by old versions of the library and computed by all: in one set of weights, not in the other."""
_TYPE = "suture_target_dtypes"

_WEIGHTS = re.compile(r".*\.(safetensors|bin|pth|pt)|.*\.(safetensors|bin)\.index\.json")


def apply(base: Path, delta: Path, target: Path) -> dict[str, Any]:
    """Writes base + delta as a model folder, with the delta's tokenizer and configuration.

    Args:
        base: a Hugging Face folder of the base model.
        delta: of the difference.
        target: the folder to write, as a whole or not at all.

    Returns:
        What :data:`RECORD` holds: digests of all files of weights, and how many tensors were added, copied, extended.

    Raises:
        InputError: a tensor of one has no counterpart in the other, or another shape; it is named.
    """
    bases, deltas = TensorFolder(base), TensorFolder(delta)
    kinds = _kinds(bases, deltas)
    types: dict[str, str] = json.loads(deltas.metadata().get(_TYPE, "{}"))
    specs = {
        name: Spec(dtype=getattr(torch, types[name]) if name in types else deltas.specs[name].dtype,
                   shape=deltas.specs[name].shape)
        for name in kinds
    }  # fmt: skip

    def make(name: str) -> torch.Tensor:
        made = deltas.read(name)
        if kinds[name] != "copied":
            mine = bases.read(name)
            # In the delta's type, as published; base rows alone where the target has more.
            made[tuple(slice(0, size) for size in mine.shape)] += mine.to(made.dtype)
        return made.to(specs[name].dtype)

    return _write(target, delta, specs, make, bases, deltas, kinds)


def make(base: Path, target: Path, delta: Path, *, exact: bool = False) -> dict[str, Any]:
    """Writes target - base as a folder, with the target's tokenizer and configuration.

    In numbers of 16 bits a difference is rounded: added again it may miss the
    target by a last digit. How many numbers that is, is counted; with
    ``exact`` tensors that would miss are stored in a wider type.

    Returns:
        As :func:`apply`, and ``inexact``: numbers that would not come back to the bit.

    Raises:
        InputError: as :func:`apply`; or even 64 bits would not do.
    """
    bases, targets = TensorFolder(base), TensorFolder(target)
    kinds = _kinds(bases, targets)
    inexact = 0
    held: dict[str, torch.dtype] = {}
    for name, kind in kinds.items():
        theirs = targets.read(name)
        held[name] = theirs.dtype
        if kind == "copied":
            continue
        mine = _grown(bases.read(name), theirs)
        wider = (theirs.dtype, torch.float32, torch.float64) if exact else (theirs.dtype,)
        missed = [int((_back(theirs, mine, type_) != theirs).sum()) for type_ in wider[:1]]
        for type_ in wider[1:]:
            if missed[-1] == 0:
                break
            held[name] = type_
            missed.append(int((_back(theirs, mine, type_) != theirs).sum()))
        if exact and missed[-1]:
            raise InputError(f"{name} does not come back to the bit from any difference", where=target)
        inexact += missed[-1]
    specs = {name: Spec(dtype=held[name], shape=targets.specs[name].shape) for name in kinds}
    wide = {name: str(targets.specs[name].dtype).removeprefix("torch.") for name in kinds
            if held[name] != targets.specs[name].dtype}  # fmt: skip

    def difference(name: str) -> torch.Tensor:
        theirs = targets.read(name).to(held[name])
        return theirs if kinds[name] == "copied" else theirs - _grown(bases.read(name), theirs).to(held[name])

    metadata = {_TYPE: json.dumps(wide)} if wide else {}
    return _write(delta, target, specs, difference, bases, targets, kinds, metadata) | {"inexact": inexact}


def _grown(mine: torch.Tensor, theirs: torch.Tensor) -> torch.Tensor:
    """Returns a base's tensor in the size of the target's, new rows zero."""
    if mine.shape == theirs.shape:
        return mine
    made = torch.zeros(theirs.shape, dtype=mine.dtype)
    made[tuple(slice(0, size) for size in mine.shape)] = mine
    return made


def _back(theirs: torch.Tensor, mine: torch.Tensor, type_: torch.dtype) -> torch.Tensor:
    own = mine.to(type_)
    return (theirs.to(type_) - own + own).to(theirs.dtype)


def _kinds(bases: TensorFolder, others: TensorFolder) -> dict[str, str]:
    """Says of each tensor what becomes of it: added, extended (more tokens) or copied (the projector).

    Raises:
        InputError: naming the first tensor that does not fit.
    """
    found: dict[str, str] = {}
    for name, spec in others.specs.items():
        if _COMPUTED.fullmatch(name):
            continue
        mine = bases.specs.get(name)
        if mine is None and not _NEW.fullmatch(name):
            raise InputError(
                f"{name} is not in the base",
                where=bases.folder,
                fix="give the base that the delta was made from, in Hugging Face's format",
            )
        if mine is None:
            found[name] = "copied"
        elif mine.shape == spec.shape:
            found[name] = "added"
        elif name in _GROWN and all(one <= other for one, other in zip(mine.shape, spec.shape, strict=True)):
            found[name] = "extended"
        else:
            raise InputError(
                f"{name} has shape {list(mine.shape)} in the base and {list(spec.shape)} in the other",
                where=bases.folder,
                fix="give the base that the delta was made from: of this size and version",
            )
    without = next((one for one in bases.specs if one not in others.specs and not _COMPUTED.fullmatch(one)), None)
    if without:
        raise InputError(
            f"{without} of the base has no counterpart", where=others.folder, fix="is a shard missing? fetch it again"
        )
    return found


def _write(
    output: Path,
    described: Path,
    specs: dict[str, Spec],
    make_one: Callable[[str], torch.Tensor],
    bases: TensorFolder,
    others: TensorFolder,
    kinds: dict[str, str],
    metadata: dict[str, str] | None = None,
) -> dict[str, Any]:
    if not (described / "config.json").is_file():
        raise InputError("no config.json", where=described, fix="give a Hugging Face folder")
    with files.atomic_dir(output) as temporary:
        for path in sorted(described.iterdir()):
            if path.is_file() and not _WEIGHTS.fullmatch(path.name) and path.name != RECORD:
                shutil.copy2(path, temporary)
        written = write(temporary, specs, make_one, what="tensors", metadata=metadata)
        found = {
            "schema": 1,
            "tensors": dict(sorted(Counter(kinds.values()).items())),
            "base": bases.digests(),
            "other": others.digests(),
            "written": written,
        }
        files.write_json(temporary / RECORD, found)
    return found
