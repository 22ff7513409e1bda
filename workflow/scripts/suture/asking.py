"""Asking a model about files that belong to no dataset; one that cannot be read costs itself alone."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterator, Sequence

from suture.closed_set import ClosedSet
from suture.config.generation import Generation
from suture.errors import InputError
from suture.free_media import FrameSettings, Unusable
from suture.models.base import Video, VideoModel
from suture.prediction import History, predict
from suture.progress import progress, say
from suture.records import Prediction, Rejection, Sample, Turn

QUESTION = "What do you see in the video?"
"""Asked where no question is given: that of the published notebook."""

_BEYOND = 1_000_000


def conversation(name: str, questions: Sequence[str]) -> Sample:
    """Returns the questions about one file as a sample, without gold answers."""
    turns = tuple(Turn(question=question, answer="", kind="") for question in questions)
    return Sample(id=name, case=name, clip=name, phase="", turns=turns)


def most_frames(model: VideoModel, turns: Sequence[Turn], settings: FrameSettings, generation: Generation) -> int:
    """Returns how many frames fit the model beside the questions and the longest answer."""

    def tokens(frames: int) -> int:
        return model.count_tokens(turns, (frames, settings.height, settings.width))

    return bisect_right(range(1, _BEYOND), model.max_length - generation.max_new_tokens, key=tokens)


def ask(
    model: VideoModel,
    samples: Sequence[Sample],
    videos: Iterator[Video | Unusable],
    *,
    history: History,
    generation: Generation,
    batch_size: int,
    max_rejected: float,
    choices: ClosedSet | None = None,
) -> tuple[list[Prediction], list[Rejection]]:
    """Answers the questions about files, a batch of files at a time, as they are read.

    Args:
        model: the model.
        samples: of :func:`conversation`.
        videos: what is shown for each of them, in their order.
        history: see :func:`suture.prediction.predict`.
        generation: how to answer.
        batch_size: questions answered at once.
        max_rejected: largest share of files that may be unusable.
        choices: see :func:`suture.prediction.predict`.

    Returns:
        Predictions in the order of the samples, and the files left out.

    Raises:
        InputError: more files than that cannot be used, as soon as this is known.
    """
    predictions: list[Prediction] = []
    rejections: list[Rejection] = []
    groups = [samples[at : at + batch_size] for at in range(0, len(samples), batch_size)]
    for group in progress(groups, what="predict", unit="batch"):
        shown: dict[str, Video] = {}
        for sample, video in zip(group, videos, strict=False):  # the videos go on with the next group
            if isinstance(video, Video):
                shown[sample.clip] = video
                continue
            say(f"predict: {sample.id} is left out: {video.detail}")
            rejections.append(
                Rejection(stage="predict", reason=video.reason, case=sample.case, where=sample.id, detail=video.detail)
            )
        if len(rejections) > max_rejected * len(samples):
            raise InputError(
                f"{len(rejections)} of {len(samples)} files cannot be used, {max_rejected:.0%} may: "
                f"{rejections[0].detail}",
                where=rejections[0].where,
                fix="repair them, take them out, or raise --max-rejected; for long ones lower --fps or give --frames",
            )
        predictions += predict(
            model,
            [sample for sample in group if sample.clip in shown],
            shown.__getitem__,
            history=history,
            generation=generation,
            batch_size=batch_size,
            choices=choices,
            bar=False,
        )
    return predictions, rejections
