"""What a training job works on: the model, the samples with their frames or features, and their lengths.

Used by training and by what measures it, so that both have the same batches.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from suture import records, registry
from suture.classifier import VideoClassifier
from suture.config.training import Train
from suture.features import FeatureCache, maker_of
from suture.frame_draws import Sampling
from suture.frames import CachedClip, FrameCache
from suture.models.base import VideoModel
from suture.records import Sample
from suture.training import adapters, views
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
    """A loaded job.

    Attributes:
        model: as the first step finds it; a classifier has its classes.
        cache: where videos come from.
        train: each sample as often as an epoch sees it.
        val: samples of the validation loss.
        lengths: tokens of each training sample.
        rounds: of augmentation, in which each training sample is seen; () where no frames are drawn.
    """

    model: VideoModel
    cache: MediaCache
    train: list[Sample]
    val: list[Sample]
    lengths: list[int]
    rounds: Sequence[int] = ()

    @property
    def shape(self) -> tuple[int, int, int]:
        """Frames, height and width of the first training sample."""
        entry = self.cache.entry(self.train[0].clip)
        return entry.n_frames, entry.height, entry.width


def load(
    family: str,
    options: Train,
    files: Files,
    system_prompt: str | None = None,
    *,
    sampling: Sampling | None = None,
    classes: Sequence[str] | None = None,
) -> Inputs:
    """Loads model and data of a job, and looks at each sample once.

    Args:
        family: model family.
        options: of the run.
        files: of the job.
        system_prompt: in place of the model's own.
        sampling: how frames are drawn; None: those that are cached are seen.
        classes: of a classifier, in their order; None: see :meth:`VideoClassifier.begin`.

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
    rounds: list[int] = []
    if sampling is not None and isinstance(cache, FrameCache) and not options.blind:
        cache = views.sampled(cache, [*samples["train"], *samples["val"]], sampling, seed=options.seed)
        samples["train"], rounds = views.of_an_epoch(samples["train"], cache, options, method=sampling.train)
    model = registry.family(family).load(files.base, system_prompt, **adapters.base_options(options))
    if isinstance(cache, FeatureCache):
        frames = [row for path in files.frames for row in records.read(path, CachedClip)]
        cache.check(maker_of(model, files.base, options.precision), frames)
    if isinstance(model, VideoClassifier):
        answers = [turn.answer for sample in samples["train"] for turn in sample.turns]
        model.begin(options, answers, classes=classes, frames=cache.entry(samples["train"][0].clip).n_frames)
    lengths = check_samples(samples["train"], model, cache, where=files.train)
    if samples["val"]:
        check_samples(samples["val"], model, cache, where=files.val)
    return Inputs(model=model, cache=cache, train=samples["train"], val=samples["val"], lengths=lengths, rounds=rounds)
