"""Training data: which sample at which position, and how it is varied there.

A run is one long sequence of positions. Epoch, order, turn order and
augmentation are functions of (seed, position), never of a generator's state:
a run that was stopped continues exactly, with any number of workers.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from typing import cast

import numpy as np
import torch

from suture.errors import InputError
from suture.features import FeatureCache
from suture.frames import FrameCache
from suture.models.base import Example, Features, Video, VideoModel
from suture.records import Rejection, Sample
from suture.sampled_frames import SampledFrames
from suture.training.augment import augment, may_mirror, may_reverse

# One stream of chance for each use: an option switched on does not move the others.
_ORDER, _TURNS, _PIXELS = range(3)


class Unseen(FrameCache):
    """Clips that are there and are not shown: what a blind model learns and answers by."""


MediaCache = FrameCache | SampledFrames | FeatureCache
"""Where videos come from: as pixels, drawn from all of a clip's or not, or as what a frozen tower made of them."""

POOL = 50
"""Batches whose samples are sorted by length together: enough to find like ones, few enough to stay random."""


class Positions:
    """Maps a position of the run to (epoch, index): each epoch is a permutation of its own.

    Batches run on across the ends of epochs: each has its full size, and no
    sample is seen twice before all are seen once.

    Args:
        n: number of samples.
        seed: of the permutations.
        lengths: tokens of each sample: batches are then made of samples of
            like length, found among the next :data:`POOL` batches.
        batch: samples a batch; used with ``lengths`` only.
    """

    def __init__(self, n: int, seed: int, *, lengths: Sequence[int] | None = None, batch: int = 1) -> None:
        self._n = n
        self._seed = seed
        self._lengths = lengths
        self._batch = batch
        self._permutation = lru_cache(maxsize=2)(self._draw)

    def _draw(self, epoch: int) -> list[int]:
        random = np.random.default_rng([self._seed, _ORDER, epoch])
        order: list[int] = random.permutation(self._n).tolist()
        return order if self._lengths is None else self._by_length(order, epoch, random)

    def _by_length(self, order: list[int], epoch: int, random: np.random.Generator) -> list[int]:
        lengths = cast(Sequence[int], self._lengths)
        # The first complete the last batch of the epoch before; those at the end wait for the next one's.
        head = -(epoch * self._n) % self._batch
        full = head + (self._n - head) // self._batch * self._batch
        batches = []
        for at in range(head, full, POOL * self._batch):
            pool = sorted(order[at : min(at + POOL * self._batch, full)], key=lambda index: -lengths[index])
            batches += [pool[k : k + self._batch] for k in range(0, len(pool), self._batch)]
        shuffled = [batches[k] for k in random.permutation(len(batches))]
        return [*order[:head], *(index for batch in shuffled for index in batch), *order[full:]]

    def __call__(self, position: int) -> tuple[int, int]:
        epoch, at = divmod(position, self._n)
        return epoch, self._permutation(epoch)[at]


class TrainingSet(torch.utils.data.Dataset[Example]):
    """The run as a sequence of examples, by position.

    Args:
        samples: what to learn from; each has its frames in ``cache``.
        model: encodes conversations.
        cache: the frames.
        length: number of positions: steps x accumulation x batch.
        seed: of order, turn order and augmentation.
        augmented: vary frames by :func:`suture.training.augment.augment`.
        shuffle_turns: ask a clip's questions in an order drawn anew each epoch.
        positions: which sample stands where; default: by ``seed`` alone.
        rounds: of augmentation, one for each sample, in which its frames are drawn; a sample that is seen in several
            rounds of an epoch stands in ``samples`` as often. Default: 0 for all.
    """

    def __init__(
        self,
        samples: Sequence[Sample],
        model: VideoModel,
        cache: MediaCache,
        *,
        length: int,
        seed: int,
        augmented: bool,
        shuffle_turns: bool,
        positions: Positions | None = None,
        rounds: Sequence[int] | None = None,
    ) -> None:
        self._samples = list(samples)
        self._rounds = rounds or [0] * len(self._samples)
        self._model = model
        self._cache = cache
        self._length = length
        self._seed = seed
        self._augmented = augmented
        self._shuffle_turns = shuffle_turns
        self._positions = positions or Positions(len(self._samples), seed)

    def __len__(self) -> int:
        return self._length

    def __getitem__(self, position: int) -> Example:
        epoch, index = self._positions(position)
        sample, turns = self._samples[index], list(self._samples[index].turns)
        if isinstance(self._cache, SampledFrames):
            video: Video | Features | None = self._cache.training_video(
                sample.clip, epoch=epoch, round_=self._rounds[index]
            )
        else:
            video = video_of(self._cache, sample.clip)
        if self._shuffle_turns:
            np.random.default_rng([self._seed, _TURNS, epoch, index]).shuffle(turns)
        if self._augmented and isinstance(video, Video):
            random = np.random.default_rng([self._seed, _PIXELS, epoch, index])
            frames = augment(video.frames, random, mirror=may_mirror(turns), backwards=may_reverse(turns))
            video = Video(frames=frames, frame_seconds=video.frame_seconds)
        return self._model.encode(turns, video)


class ValidationSet(torch.utils.data.Dataset[Example]):
    """Samples as they are, each once, in the manifest's order."""

    def __init__(self, samples: Sequence[Sample], model: VideoModel, cache: MediaCache) -> None:
        self._samples = list(samples)
        self._model = model
        self._cache = cache

    def __len__(self) -> int:
        return len(self._samples)

    def __getitem__(self, index: int) -> Example:
        sample = self._samples[index]
        return self._model.encode(sample.turns, video_of(self._cache, sample.clip))


def video_of(cache: MediaCache, clip: str) -> Video | Features | None:
    """Gives a clip's cached frames or features with their pace; None where it is not shown."""
    if isinstance(cache, Unseen):
        return None
    if isinstance(cache, FeatureCache):
        return cache.features(clip)
    if isinstance(cache, SampledFrames):
        return cache.video(clip)
    return Video(frames=cache.frames(clip), frame_seconds=cache.entry(clip).frame_seconds)


def usable(samples: Sequence[Sample], cache: MediaCache, *, where: object) -> tuple[list[Sample], list[Rejection]]:
    """Divides samples into those whose frames are cached and those whose clip was rejected by the cache.

    Raises:
        InputError: a sample's clip is unknown to the cache, a sample has no
            question, or nothing is left.
    """
    kept, rejections = [], []
    for sample in samples:
        if not sample.turns:
            raise InputError(f"sample {sample.id!r} has no question", where=where, fix="leave it out")
        if sample.clip in cache:
            kept.append(sample)
        elif sample.clip in cache.rejected:
            reason = cache.rejected[sample.clip].rejected
            rejections.append(
                Rejection(
                    stage="frames", reason=reason, case=sample.case, where=sample.id, detail="its clip was not cached"
                )
            )
        else:
            raise InputError(
                f"the frames of clip {sample.clip!r} (sample {sample.id!r}) are not in the cache",
                where=where,
                fix="give all shards to --frames-cache, or run cache_frames with these samples",
            )
    if not kept:
        raise InputError("no sample has cached frames", where=where, fix="see the rejections of cache_frames")
    return kept, rejections


def check_samples(samples: Sequence[Sample], model: VideoModel, cache: MediaCache, *, where: object) -> list[int]:
    """Looks at each sample once, before the first step: frame size, length, answers. No pixel is read.

    Returns:
        Each sample's number of tokens.

    Raises:
        InputError: a sample that cannot be encoded or does not fit, named. Nothing is ever truncated.
    """
    lengths = []
    for sample in samples:
        entry = cache.entry(sample.clip)
        try:
            model.check_size(entry.height, entry.width)
            shape = None if isinstance(cache, Unseen) else (entry.n_frames, entry.height, entry.width)
            tokens = model.count_tokens(sample.turns, shape)
        except InputError as error:
            problem = f"{error.problem}: {error.where!r}" if error.where else error.problem
            raise InputError(problem, where=f"{where}, sample {sample.id}", fix=error.fix) from error
        if tokens > model.max_length:
            raise InputError(
                f"sample {sample.id!r} has {tokens} tokens, the model takes {model.max_length}",
                where=where,
                fix="cache fewer or smaller frames, or leave the sample out; it is not cut off",
            )
        lengths.append(tokens)
    return lengths
