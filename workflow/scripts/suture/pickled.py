"""Weights in PyTorch's own file format (.bin, .pth) become safetensors.

Such a file is a pickle, which can run any code when it is opened. It is read
by the restricted unpickler, that makes tensors and plain values and nothing
else; a file that asks for more is refused by name.
"""

from __future__ import annotations

import argparse
import codecs
import pickle
import re
import zipfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from huggingface_hub import split_torch_state_dict_into_shards
from safetensors.torch import save_file

from suture import files
from suture.errors import InputError
from suture.progress import progress

SHARD = "2GB"
INDEX = "model.safetensors.index.json"

# Beside the weights, checkpoints often hold their command line and scores. These only hold values.
_SCALAR: Any = np.float64(0).__reduce__()[0]
_HARMLESS: list[Any] = [
    argparse.Namespace,
    codecs.encode,
    np.dtype,
    np.dtypes.Float32DType,
    np.dtypes.Float64DType,
    np.dtypes.Int64DType,
    _SCALAR,
    (_SCALAR, "numpy.core.multiarray.scalar"),  # its name before numpy 2
]
_HOLDERS = ("state_dict", "model", "model_state_dict")


def convert(sources: Sequence[Path], folder: Path) -> list[str]:
    """Writes the tensors of pickled files as safetensors, in shards of 2 GB at most, one in memory at a time.

    Args:
        sources: files of one model.
        folder: gets ``model.safetensors``, or shards and their index.

    Returns:
        Names of what the files hold beside the weights, which is left out.

    Raises:
        InputError: a file is damaged, asks for code, or holds no weights, or two hold one tensor.
    """
    tensors: dict[str, torch.Tensor] = {}
    left_out: list[str] = []
    for source in sources:
        found, others = _weights(load(source), source)
        twice = sorted(tensors.keys() & found.keys())
        if twice:
            raise InputError(f"{twice[0]} is in two files", where=source, fix="leave one set of weights in the folder")
        tensors |= found
        left_out += others
    tensors = _once(tensors)
    split = split_torch_state_dict_into_shards(tensors, max_shard_size=SHARD)
    for name, members in progress(sorted(split.filename_to_tensors.items()), what="to safetensors", unit="file"):
        shard = {member: tensors[member].clone(memory_format=torch.contiguous_format) for member in members}
        save_file(shard, folder / name, metadata={"format": "pt"})
    if split.is_sharded:
        files.write_json(folder / INDEX, {"metadata": split.metadata, "weight_map": split.tensor_to_filename})
    return left_out


def tensors(path: Path) -> dict[str, torch.Tensor]:
    """Returns the tensors of one pickled file, mapped where its format allows it: their numbers are read when used.

    Raises:
        InputError: the file is damaged, asks for code, or holds no weights.
    """
    return _weights(load(path), path)[0]


def load(path: Path) -> Any:
    """Opens a pickled file, as far as it is tensors and plain values.

    Raises:
        InputError: the file is damaged or asks for code.
    """
    with torch.serialization.safe_globals(_HARMLESS):
        try:
            # Files of before 2020 are no archives and cannot be mapped: they are read whole.
            return torch.load(path, map_location="cpu", weights_only=True, mmap=zipfile.is_zipfile(path))
        except pickle.UnpicklingError as error:
            asked = re.search(r"GLOBAL ([\w.]+)", str(error))
            raise InputError(
                f"the file asks for {asked[1]}, which is no weight" if asked else "not a file of weights",
                where=path,
                fix="take safetensors from the publisher: this file could run any code",
            ) from error
        except (RuntimeError, EOFError, ValueError, KeyError) as error:
            raise InputError(f"not a whole file of weights: {error}", where=path, fix="fetch it again") from error


def _weights(loaded: Any, where: Path) -> tuple[dict[str, torch.Tensor], list[str]]:
    """Finds the tensors in what a file holds: itself, or one of the usual entries of a checkpoint."""
    if isinstance(loaded, Mapping) and loaded:
        if all(isinstance(value, torch.Tensor) for value in loaded.values()):
            return dict(loaded), []
        for holder in _HOLDERS:
            inner = loaded.get(holder)
            if isinstance(inner, Mapping) and inner and all(isinstance(v, torch.Tensor) for v in inner.values()):
                return dict(inner), sorted(str(name) for name in loaded if name != holder)
    raise InputError(
        "the file holds no weights by name", where=where, fix=f"give a state dict, or one under {', '.join(_HOLDERS)}"
    )


def _once(tensors: Mapping[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    """Leaves tensors that are one in memory once, under their last name, as the library saves tied weights."""
    names: dict[Any, str] = {}
    for name, tensor in sorted(tensors.items()):
        place = (tensor.data_ptr(), tensor.shape, tensor.stride(), tensor.dtype)
        names[place if tensor.numel() else name] = name
    return {name: tensors[name] for name in sorted(names.values())}
