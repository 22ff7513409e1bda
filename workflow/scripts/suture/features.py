"""The feature cache: what a frozen vision tower and projector make of each clip, computed once.

One shard is one ``.npy`` array, [visual tokens of all its clips, width of the
language model], and a manifest with one line a clip that tells which rows are
whose, of which frames they were made, and by what. NumPy has no bfloat16: its
bits are stored as uint16, and ``dtype`` in the manifest says bf16. Nothing is lost.

Features stand for frames only where the tower would give the same in this very
run: those of other weights, frames, arithmetic or libraries are refused.
"""

from __future__ import annotations

import dataclasses
import hashlib
import json
import os
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

import numpy as np
import torch
import transformers

from suture import files, records
from suture.arrays import Layout, RowCache, RowWriter
from suture.errors import InputError
from suture.frames import CachedClip
from suture.models.base import Features, VideoModel
from suture.progress import progress
from suture.records import Record
from suture.training.towers import tower_of

REBUILD = "delete the shard's .jsonl and .npy and run cache_features again"

PRECISIONS = {"fp32": torch.float32, "bf16": torch.bfloat16, "fp16": torch.float16}
_NAMES = {dtype: name for name, dtype in PRECISIONS.items()}
_STORED: dict[str, np.dtype[Any]] = {"fp32": np.dtype("<f4"), "bf16": np.dtype("<u2"), "fp16": np.dtype("<f2")}

# What config.json says of the language model alone.
_LANGUAGE = {"text_config", "quantization_config", "dtype", "torch_dtype", "use_cache"}
# Who wrote a file, and for which class.
_BOOKKEEPING = {"architectures", "processor_class", "transformers_version", "_name_or_path"}


@dataclass(frozen=True, kw_only=True)
class Maker(Record):
    """What features are a function of, beside the frames.

    ``weights`` is a digest of the tensors of vision tower and projector,
    ``weights_dtype`` the type they are held in, ``settings`` a digest of their
    configuration and the processor's, ``precision`` that of the forward pass.
    """

    weights: str
    weights_dtype: str
    settings: str
    precision: str
    attention: str
    torch: str
    transformers: str


@dataclass(frozen=True, kw_only=True)
class CachedFeatures(Record):
    """Where a clip's features lie: rows ``row`` to ``row + n_tokens - 1`` of ``array``, ``token_width`` numbers each.

    ``array`` is relative to the manifest's folder. ``n_frames``, ``height``,
    ``width``, ``frame_seconds`` and ``pixels_sha256`` are of the frames.
    ``rejected`` is the reason of a clip that has no frames, and so no rows.
    """

    clip: str
    case: str
    array: str
    row: int
    n_tokens: int
    token_width: int
    dtype: str
    n_frames: int
    height: int
    width: int
    frame_seconds: float
    pixels_sha256: str
    features_sha256: str
    maker: Maker
    rejected: str = ""

    @classmethod
    def from_json(cls, row: dict[str, Any], *, where: object = None) -> Self:
        return super().from_json({**row, "maker": Maker.from_json(row.get("maker", {}), where=where)}, where=where)


def maker_of(model: VideoModel, folder: Path, precision: str) -> Maker:
    """Says what makes features in this run.

    Args:
        model: just loaded from ``folder``, without adapters.
        folder: with its configuration and processor.
        precision: of the forward pass.
    """
    module: Any = model.model
    digest, held = hashlib.sha256(), set()
    for name, tensor in sorted(module.state_dict().items()):
        if tower_of(name, model.towers) != "language":
            held.add(_NAMES.get(tensor.dtype, str(tensor.dtype)))
            digest.update(f"{name} {tensor.dtype} {list(tensor.shape)}\n".encode())
            digest.update(tensor.detach().cpu().contiguous().flatten().view(torch.uint8).numpy().data)
    return Maker(
        weights=digest.hexdigest(),
        weights_dtype=", ".join(sorted(held)),
        settings=settings_digest(folder),
        precision=precision,
        attention=str(module.config._attn_implementation),
        torch=torch.__version__,
        transformers=transformers.__version__,
    )


def settings_digest(folder: Path) -> str:
    """Returns a digest of what a model folder's JSON files say of its towers and its processor.

    Raises:
        InputError: config.json is missing, or a file is no JSON.
    """
    found = {path.name: files.read_json(path) for path in sorted(folder.glob("*processor*config.json"))}
    config: dict[str, Any] = files.read_json(folder / "config.json")
    found["config.json"] = {name: value for name, value in config.items() if name not in _LANGUAGE}
    return files.sha256_text(json.dumps(_without(found, _BOOKKEEPING), sort_keys=True))


def _without(value: Any, names: set[str]) -> Any:
    if isinstance(value, dict):
        return {name: _without(inner, names) for name, inner in value.items() if name not in names}
    return value


def arithmetic_of(precision: str, device: torch.device) -> AbstractContextManager[Any]:
    """Gives the context in which the training loop runs its forward pass."""
    return nullcontext() if precision == "fp32" else torch.autocast(device.type, PRECISIONS[precision])


def write_shard(
    clips: Sequence[CachedClip],
    *,
    compute: Callable[[CachedClip], torch.Tensor],
    maker: Maker,
    manifest: Path,
    array: Path,
) -> None:
    """Caches the features of clips in the order of their ids; clips without frames are passed on as they are.

    Args:
        clips: from the manifests of a frame cache.
        compute: gives a clip's features on the CPU, [tokens, width].
        maker: what ``compute`` computes with.
        manifest: the manifest to write, last of the two files.
        array: the array to write.

    Raises:
        InputError: features are not numbers: the arithmetic overflowed.
    """
    rows: list[CachedFeatures] = []
    with files.atomic_path(array) as temporary:
        writer: RowWriter | None = None
        dtype, width = maker.precision, 0
        for clip in progress(sorted(clips, key=lambda one: one.clip), what="cache features", unit="clip"):
            values = np.zeros((0, width), _STORED[dtype])
            if not clip.rejected:
                tokens = compute(clip)
                if not tokens.isfinite().all():
                    raise InputError(
                        f"clip {clip.clip!r} has features that are not numbers in {maker.precision}",
                        where=manifest,
                        fix="take another precision",
                    )
                values = _to_numpy(tokens)
                dtype, width = _NAMES[tokens.dtype], values.shape[1]
                writer = writer or RowWriter(temporary, (width,), values.dtype)
            rows.append(
                CachedFeatures(
                    clip=clip.clip,
                    case=clip.case,
                    array=os.path.relpath(array, manifest.parent),
                    row=writer.rows if writer else 0,
                    n_tokens=len(values),
                    token_width=width,
                    dtype=dtype,
                    n_frames=clip.n_frames,
                    height=clip.height,
                    width=clip.width,
                    frame_seconds=clip.frame_seconds,
                    pixels_sha256=clip.pixels_sha256,
                    features_sha256=hashlib.sha256(values.data).hexdigest(),
                    maker=maker,
                    rejected=clip.rejected,
                )
            )
            if writer and len(values):
                writer.append(values)
        (writer or RowWriter(temporary, (0,), _STORED[dtype])).close()
        # An old manifest must never describe a new array.
        manifest.unlink(missing_ok=True)
    records.write(manifest, rows)


def _to_numpy(tokens: torch.Tensor) -> np.ndarray:
    stored = _STORED[_NAMES[tokens.dtype]]
    plain = tokens.contiguous()
    values: np.ndarray = (plain.view(torch.uint16) if plain.dtype == torch.bfloat16 else plain).numpy()
    return values.astype(stored, copy=False)


def _to_tensor(rows: np.ndarray, dtype: str) -> torch.Tensor:
    # A copy: the library warns of arrays that cannot be written to.
    plain = torch.from_numpy(np.array(rows))
    return plain.view(torch.bfloat16) if dtype == "bf16" else plain


class FeatureCache(RowCache[CachedFeatures]):
    """Reads the features of cached clips by clip id, from one or more shards.

    Raises:
        InputError: a manifest or its array is missing, or they do not belong together.
    """

    def __init__(self, manifests: Sequence[Path]) -> None:
        super().__init__(manifests, CachedFeatures, layout=_layout, what="features", rebuild=REBUILD)

    def features(self, clip: str) -> Features:
        """Returns a clip's features, read from disk now."""
        entry = self.entry(clip)
        return Features(
            tokens=_to_tensor(self.rows(clip, entry.n_tokens), entry.dtype),
            shape=(entry.n_frames, entry.height, entry.width),
            frame_seconds=entry.frame_seconds,
        )

    def check(self, maker: Maker, frames: Sequence[CachedClip] = ()) -> None:
        """Refuses features that the tower would not give in this run.

        Args:
            maker: what would make them here, of :func:`maker_of`.
            frames: lines of the frame cache that they stand for, where there is one.

        Raises:
            InputError: naming a clip and all that differs.
        """
        for entry in self._lines.values():
            differing = [
                _difference(field.name, getattr(entry.maker, field.name), getattr(maker, field.name))
                for field in dataclasses.fields(Maker)
                if getattr(entry.maker, field.name) != getattr(maker, field.name)
            ]
            if differing:
                raise InputError(
                    f"the features of clip {entry.clip!r} were made otherwise: {'; '.join(differing)}", fix=REBUILD
                )
        for clip in frames:
            ours = self._lines.get(clip.clip) or self.rejected.get(clip.clip)
            if ours is not None and (ours.pixels_sha256, ours.frame_seconds, ours.rejected) != (
                clip.pixels_sha256,
                clip.frame_seconds,
                clip.rejected,
            ):
                raise InputError(f"the features of clip {clip.clip!r} were made of other frames", fix=REBUILD)


def _difference(name: str, cached: str, here: str) -> str:
    told = {
        "weights": "other weights of vision tower or projector",
        "settings": "other settings of processor or vision tower",
    }
    return told.get(name) or f"{name.replace('_', ' ')} {cached}, here {here}"


def _layout(lines: Sequence[CachedFeatures]) -> Layout:
    return (sum(line.n_tokens for line in lines), lines[0].token_width), _STORED[lines[0].dtype]


def _words(towers: Sequence[str]) -> str:
    return " and ".join({"vision": "vision tower"}.get(name, name) for name in towers)


def check_frozen(model: VideoModel) -> None:
    """Refuses cached features for a model that trains vision tower or projector.

    Args:
        model: prepared for training: weights frozen or adapters attached.

    Raises:
        InputError: naming a parameter.
    """
    module: torch.nn.Module = model.model
    learnt = [
        name
        for name, parameter in module.named_parameters()
        if parameter.requires_grad and tower_of(name, model.towers) in model.encoders
    ]
    if learnt:
        raise InputError(
            f"{len(learnt)} parameters of {_words(model.encoders)} are trained, and cached features do not "
            f"depend on them: {learnt[0]}, ...",
            fix="set cache_features: false, or train what comes after it alone",
        )
