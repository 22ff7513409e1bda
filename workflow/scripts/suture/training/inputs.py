"""What a training job works on: the model, the samples with their frames or features, and their lengths."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from suture import records, registry
from suture.config.training import Train
from suture.features import FeatureCache, maker_of
from suture.frames import CachedClip, FrameCache
from suture.models.base import VideoModel
from suture.records import Sample
from suture.training import adapters
from suture.training.data import MediaCache, Unseen, check_samples, usable


@dataclass(frozen=True, kw_only=True)
class Files:
    """Where the inputs of a job lie. Of ``frames`` and ``features``, manifests, one may be empty."""

    base: Path
    train: Path
    val: Path | None
    frames: Sequence[Path]
    features: Sequence[Path]


@dataclass(frozen=True, kw_only=True)
class Inputs:
    """A loaded job. ``lengths`` are the tokens of each training sample."""

    model: VideoModel
    cache: MediaCache
    train: list[Sample]
    val: list[Sample]
    lengths: list[int]

    @property
    def shape(self) -> tuple[int, int, int]:
        """Frames, height and width of the first training sample."""
        entry = self.cache.entry(self.train[0].clip)
        return entry.n_frames, entry.height, entry.width


def load(family: str, options: Train, files: Files, system_prompt: str | None = None) -> Inputs:
    """Loads model and data of a job, and looks at each sample once.

    Raises:
        InputError: a sample that cannot be learnt from, or features that were made with another model.
    """
    shown = Unseen if options.blind else FrameCache
    cache: MediaCache = FeatureCache(files.features) if files.features else shown(files.frames)
    samples: dict[str, list[Sample]] = {}
    for name, path in (("train", files.train), ("val", files.val)):
        samples[name] = records.read(path, Sample) if path else []
        if samples[name]:
            samples[name], left_out = usable(samples[name], cache, where=path)
            if left_out:
                first, what = left_out[0].where, f"{len(left_out)} {name} samples left out"
                print(f"{what}, their clips were rejected by cache_frames: {first}, ...", flush=True)
    model = registry.family(family).load(files.base, system_prompt, **adapters.base_options(options))
    if isinstance(cache, FeatureCache):
        frames = [row for path in files.frames for row in records.read(path, CachedClip)]
        cache.check(maker_of(model, files.base, options.precision), frames)
    lengths = check_samples(samples["train"], model, cache, where=files.train)
    if samples["val"]:
        check_samples(samples["val"], model, cache, where=files.val)
    return Inputs(model=model, cache=cache, train=samples["train"], val=samples["val"], lengths=lengths)
