"""What training sees of clips that are cached whole: their frames by draw, and a record of the draws."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path

from suture.config.training import Train
from suture.frame_draws import Draws, Method, Sampling, rounds
from suture.frames import FrameCache
from suture.records import Sample
from suture.sampled_frames import SampledFrames, check_whole, write
from suture.training.data import Positions


def sampled(cache: FrameCache, samples: Iterable[Sample], sampling: Sampling, *, seed: int) -> SampledFrames:
    """Returns a cache of whole clips as one of the frames that are drawn from each.

    Args:
        cache: all frames of the clips.
        samples: all that will be read.
        sampling: how; its method for test is used when the model is asked, not here.
        seed: of the run.

    Raises:
        InputError: the cache does not have all frames of a clip.
    """
    check_whole(cache, sorted({sample.clip for sample in samples}))
    return SampledFrames(
        cache,
        held_out=Draws(method=sampling.val, count=sampling.count, seed=seed),
        train=Draws(method=sampling.train, count=sampling.count, seed=seed),
    )


def of_an_epoch(
    samples: Sequence[Sample], cache: SampledFrames, options: Train, *, method: Method
) -> tuple[list[Sample], list[int]]:
    """Returns the samples, each as often as an epoch sees it, and its round of augmentation each time."""
    pairs = [
        (sample, round_)
        for sample in samples
        for round_ in rounds(
            method, cache.total(sample.clip), cache.count, options.aug_step_size, options.max_aug_rounds
        )
    ]
    return [sample for sample, _ in pairs], [round_ for _, round_ in pairs]


def seen(samples: Sequence[Sample], turn: Sequence[int], options: Train, step: int) -> list[tuple[Sample, int, int]]:
    """Returns (sample, epoch, round) of all that a run saw until an optimiser step, in order."""
    positions = Positions(len(samples), options.seed)
    found = []
    for position in range(step * options.samples_per_step):
        epoch, index = positions(position)
        found.append((samples[index], epoch, turn[index]))
    return found


def write_indices(
    folder: Path,
    cache: SampledFrames,
    *,
    name: str,
    train: Iterable[tuple[Sample, int, int]],
    val: Iterable[Sample],
    options: Train,
    sampling: Sampling,
) -> None:
    """Writes the sampling indices of a run, one file for training and one for validation.

    Args:
        folder: of the files, which have the published names.
        cache: what was read.
        name: of the experiment.
        train: what was seen, see :func:`seen`.
        val: what was validated on.
        options: of the run.
        sampling: of the run.
    """
    learnt = [cache.drawn(s.clip, s.turns[0].answer, epoch=epoch, round_=round_) for s, epoch, round_ in train]
    if learnt:
        write(folder / file_name(name, sampling.train, "train", options.aug_step_size), learnt)
    if validated := [cache.drawn(s.clip, s.turns[0].answer) for s in val]:
        write(folder / file_name(name, sampling.val, "val"), validated)


def file_name(name: str, method: str, split: str, aug_step_size: int | None = None) -> str:
    """Names a file as published: ``sampling_indices_{dataset}_{method}_{split}[_augstep{k}].csv``."""
    suffix = f"_augstep{aug_step_size}" if aug_step_size is not None else ""
    return f"sampling_indices_{name}_{method}_{split}{suffix}.csv"
