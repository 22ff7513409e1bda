"""Weights read and written one tensor at a time: a model of any size in the memory of its largest tensor.

Read are safetensors and PyTorch's own .bin files, whole or in shards, by the
restricted unpickler; written are safetensors (huggingface.co/docs/safetensors).
"""

from __future__ import annotations

import json
import struct
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

import torch
from safetensors import safe_open

from suture import files, pickled
from suture.errors import InputError
from suture.progress import progress

SHARD_BYTES = 2_000_000_000
INDEX = pickled.INDEX

_CODES = {
    torch.float64: "F64",
    torch.float32: "F32",
    torch.float16: "F16",
    torch.bfloat16: "BF16",
    torch.int64: "I64",
    torch.int32: "I32",
    torch.int16: "I16",
    torch.int8: "I8",
    torch.uint8: "U8",
    torch.bool: "BOOL",
}
_TYPES = {code: kind for kind, code in _CODES.items()}


@dataclass(frozen=True, kw_only=True)
class Spec:
    """What is known of a tensor without its numbers. ``at``: where they begin in its file, of safetensors."""

    dtype: torch.dtype
    shape: tuple[int, ...]
    at: int = field(default=0, compare=False)

    @property
    def bytes(self) -> int:
        """Its size in a file."""
        return torch.Size(self.shape).numel() * self.dtype.itemsize


class TensorFolder:
    """The weights of a model folder, by name, none of them held.

    Args:
        folder: has ``*.safetensors``, else ``pytorch_model*.bin``.

    Raises:
        InputError: there are no weights, a file is damaged, or two have one tensor.
    """

    def __init__(self, folder: Path) -> None:
        if not folder.is_dir():
            raise InputError("model folder not found", where=folder)
        self.folder = folder
        self.paths = sorted(folder.glob("*.safetensors")) or sorted(folder.glob("pytorch_model*.bin"))
        if not self.paths:
            hint = "it is in Meta's own format: convert it to Hugging Face's first"
            fix = hint if any(folder.glob("consolidated*.pth")) else "give a folder with *.safetensors or *.bin"
            raise InputError("no weights in this folder", where=folder, fix=fix)
        self.specs: dict[str, Spec] = {}
        self._path: dict[str, Path] = {}
        for path in self.paths:
            for name, spec in _specs(path).items():
                if name in self.specs:
                    raise InputError(f"{name} is in two files", where=path, fix="leave one set of weights there")
                self.specs[name], self._path[name] = spec, path

    def read(self, name: str) -> torch.Tensor:
        """Reads one tensor; nothing else of its file stays mapped into memory."""
        path = self._path[name]
        if path.suffix == ".safetensors":
            return _read(path, self.specs[name])
        return pickled.tensors(path)[name].clone(memory_format=torch.contiguous_format)

    def metadata(self) -> dict[str, str]:
        """Returns what the safetensors files say beside their tensors."""
        found: dict[str, str] = {}
        for path in self.paths:
            if path.suffix == ".safetensors":
                with safe_open(path, framework="pt") as opened:
                    found |= opened.metadata() or {}
        return found

    def digests(self) -> dict[str, str]:
        """Returns the sha256 of each file of weights."""
        return {path.name: files.sha256_file(path) for path in progress(self.paths, what="digests", unit="file")}


def _specs(path: Path) -> dict[str, Spec]:
    if path.suffix != ".safetensors":
        return {name: Spec(dtype=t.dtype, shape=tuple(t.shape)) for name, t in pickled.tensors(path).items()}
    with path.open("rb") as handle:
        try:
            (length,) = struct.unpack("<Q", handle.read(8))
            if length > path.stat().st_size:
                raise ValueError("its header is longer than the file")
            header = json.loads(handle.read(length))
            header.pop("__metadata__", None)
            end = 8 + length + max((entry["data_offsets"][1] for entry in header.values()), default=0)
            if end != path.stat().st_size:
                raise ValueError(f"{path.stat().st_size} bytes, its header says {end}")
            return {
                name: Spec(dtype=_TYPES[e["dtype"]], shape=tuple(e["shape"]), at=8 + length + e["data_offsets"][0])
                for name, e in header.items()
            }
        except (struct.error, ValueError, KeyError) as error:
            raise InputError(
                f"not a whole safetensors file: {error}", where=path, fix="fetch or copy it again"
            ) from error


def _read(path: Path, spec: Spec) -> torch.Tensor:
    # Not by the library, which maps the whole file: what was touched of it would count as this process's memory.
    data = bytearray(spec.bytes)
    with path.open("rb") as handle:
        handle.seek(spec.at)
        if handle.readinto(data) != spec.bytes:
            raise InputError("the file ends early", where=path, fix="fetch or copy it again")
    flat = torch.frombuffer(data, dtype=spec.dtype) if data else torch.empty(0, dtype=spec.dtype)
    return flat.reshape(spec.shape)


def write(
    folder: Path,
    specs: Mapping[str, Spec],
    make: Callable[[str], torch.Tensor],
    *,
    what: str,
    metadata: Mapping[str, str] | None = None,
    shard_bytes: int = SHARD_BYTES,
) -> dict[str, str]:
    """Writes a model's weights, tensor by tensor, in shards.

    Args:
        folder: an existing folder; gets ``model.safetensors``, or shards and their index.
        specs: all tensors, in the order in which they are made.
        make: makes one of them, of that type and shape.
        what: words for the progress bar.
        metadata: texts to put beside the tensors.
        shard_bytes: a shard ends before it would be larger; a tensor is never divided.

    Returns:
        The sha256 of each file.
    """
    shards = _shards(specs, shard_bytes)
    names = {
        number: "model.safetensors" if len(shards) == 1 else f"model-{number:05d}-of-{len(shards):05d}.safetensors"
        for number in range(1, len(shards) + 1)
    }
    bar = progress(specs, what=what, unit="tensor")
    for number, members in enumerate(shards, start=1):
        _write_file(folder / names[number], {name: specs[name] for name in members}, make, bar, metadata or {})
    if len(shards) > 1:
        where = {name: names[number] for number, members in enumerate(shards, start=1) for name in members}
        total = sum(spec.bytes for spec in specs.values())
        files.write_json(folder / INDEX, {"metadata": {"total_size": total}, "weight_map": where})
    return {name: files.sha256_file(folder / name) for name in names.values()}


def _shards(specs: Mapping[str, Spec], most: int) -> list[list[str]]:
    shards: list[list[str]] = [[]]
    size = 0
    for name, spec in specs.items():
        if shards[-1] and size + spec.bytes > most:
            shards.append([])
            size = 0
        shards[-1].append(name)
        size += spec.bytes
    return shards


def _write_file(
    path: Path,
    specs: Mapping[str, Spec],
    make: Callable[[str], torch.Tensor],
    bar: Iterable[str],
    metadata: Mapping[str, str],
) -> None:
    header: dict[str, object] = {"__metadata__": {"format": "pt", **metadata}}
    at = 0
    for name, spec in specs.items():
        header[name] = {
            "dtype": _CODES[spec.dtype],
            "shape": list(spec.shape),
            "data_offsets": [at, at + spec.bytes],
        }
        at += spec.bytes
    text = json.dumps(header, separators=(",", ":")).encode()
    text += b" " * (-len(text) % 8)
    advance = iter(bar)
    with path.open("wb") as out:
        out.write(struct.pack("<Q", len(text)) + text)
        for name, spec in specs.items():
            made = make(name)
            if (made.dtype, tuple(made.shape)) != (spec.dtype, spec.shape):
                raise AssertionError(f"{name}: made {made.dtype} {tuple(made.shape)}, announced {spec}")
            out.write(made.contiguous().reshape(-1).view(torch.uint8).numpy().data)
            next(advance)
