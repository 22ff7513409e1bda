"""What training sees of clips that are cached whole: their frames by draw, and a record of the draws."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

from suture.config.training import Train
from suture.frame_draws import Draws, Method, rounds
from suture.frames import FrameCache
from suture.records import Sample
from suture.sampled_frames import Drawn, SampledFrames, check_whole, write
from suture.training.data import Positions


def sampled(
    cache: FrameCache, samples: Iterable[Sample], *, count: int, seed: int, train: Method, val: Method, test: Method
) -> SampledFrames:
    """Returns a cache of whole clips as one of ``count`` frames that are drawn from each.

    Args:
        cache: all frames of the clips.
        samples: all that will be read.
        count: frames drawn.
        seed: of the run.
        train: method of training.
        val: method of validation.
        test: is used when the model is asked, not here.

    Raises:
        InputError: the cache does not have all frames of a clip.
    """
    check_whole(cache, sorted({sample.clip for sample in samples}))
    return SampledFrames(
        cache,
        held_out=Draws(method=val, count=count, seed=seed),
        train=Draws(method=train, count=count, seed=seed),
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
    methods: Mapping[str, Method],
) -> None:
    """Writes the sampling indices of a run, one file for training and one for validation.

    Args:
        folder: of the files, which have the published names.
        cache: what was read.
        name: of the experiment.
        train: what was seen, see :func:`seen`.
        val: what was validated on.
        options: of the run.
        methods: by split.
    """
    drawn: dict[str, list[Drawn]] = {
        "train": [cache.drawn(s.clip, s.turns[0].answer, epoch=epoch, round_=round_) for s, epoch, round_ in train],
        "val": [cache.drawn(s.clip, s.turns[0].answer) for s in val],
    }
    for split, rows in drawn.items():
        steps = options.aug_step_size if split == "train" else None
        if rows:
            write(folder / file_name(name, methods[split], split, steps), rows)


def file_name(name: str, method: str, split: str, aug_step_size: int | None = None) -> str:
    """Names a file as published: ``sampling_indices_{dataset}_{method}_{split}[_augstep{k}].csv``."""
    suffix = f"_augstep{aug_step_size}" if aug_step_size is not None else ""
    return f"sampling_indices_{name}_{method}_{split}{suffix}.csv"
