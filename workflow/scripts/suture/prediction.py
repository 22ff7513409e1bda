"""Answers of a model to the questions of samples, never helped by a gold answer."""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Literal

import numpy as np

from suture.closed_set import Chooser, ClosedSet
from suture.config.generation import Generation
from suture.errors import InputError
from suture.models.base import Example, Features, Reply, Video, VideoModel
from suture.progress import progress
from suture.records import Prediction, Sample

History = Literal["own", "none"]


def predict(
    model: VideoModel,
    samples: Sequence[Sample],
    shown: Callable[[str], Video | Features | None],
    *,
    history: History,
    generation: Generation,
    batch_size: int,
    choices: ClosedSet | None = None,
    bar: bool = True,
) -> list[Prediction]:
    """Answers each turn of each sample, in batches.

    What is drawn for a question depends on the seed, the sample and the turn,
    not on batches, order or chunks.

    Args:
        model: the model.
        samples: what to ask about which clip.
        shown: gives what is shown for a clip; None: nothing, the question stands alone.
        history: ``own``: a question comes after the model's own answers to the
            questions before it, as in training, where all turns of a clip are
            one conversation. ``none``: each question on its own.
        generation: how to answer; an answer that had not ended at its longest is marked ``truncated``.
        batch_size: questions answered at once.
        choices: answer with the likeliest of these, whatever ``generation`` says; each prediction has all scores.
        bar: draw a progress bar.

    Returns:
        Predictions sorted by sample id and turn.

    Raises:
        InputError: a question does not fit the model's length with its answer, named.
    """
    said: dict[tuple[str, int], Reply] = {}
    chooser = Chooser(model, choices) if choices else None

    def prompt(sample: Sample, number: int) -> Example:
        earlier = range(number) if history == "own" else range(0)
        turns = [replace(sample.turns[i], answer=said[sample.id, i].text) for i in earlier]
        question = replace(sample.turns[number], answer="")
        example = model.encode([*turns, question], shown(sample.clip), for_reply=True)
        longest = chooser.longest([*turns, question]) if chooser else generation.max_new_tokens
        if len(example.input_ids) + longest > model.max_length:
            raise InputError(
                f"question {number} has {len(example.input_ids)} tokens; with {longest} for the "
                f"answer that is more than the model's {model.max_length}",
                where=f"sample {sample.id}",
                fix=("" if chooser else "lower --max-new-tokens, ") + "show fewer frames, or use --history none",
            )
        return example

    questions = [(sample, number) for sample in samples for number in range(len(sample.turns))]
    # With history, all first questions come before all second ones.
    levels = [[q for q in questions if q[1] == n] for n in range(max((len(s.turns) for s in samples), default=0))]
    batches = [
        level[at : at + batch_size]
        for level in (levels if history == "own" else [questions])
        for at in range(0, len(level), batch_size)
    ]
    for batch in progress(batches, what="predict", unit="batch") if bar else batches:
        inputs = model.collate([prompt(sample, number) for sample, number in batch], pad_left=True)
        if chooser:
            replies = chooser.answer(inputs)
        else:
            replies = model.generate(inputs, generation, [draw_seed(generation, *question) for question in batch])
        said |= {(sample.id, number): reply for (sample, number), reply in zip(batch, replies, strict=True)}
    return [
        Prediction(
            id=sample.id,
            case=sample.case,
            clip=sample.clip,
            turn=number,
            kind=sample.turns[number].kind,
            phase=sample.phase,
            question=sample.turns[number].question,
            answer=sample.turns[number].answer,
            prediction=said[sample.id, number].text,
            scores=dict(said[sample.id, number].scores),
            normalisation=choices.normalisation if choices else "",
            score_end=bool(choices and choices.score_end),
            truncated=said[sample.id, number].truncated,
        )
        for sample, number in sorted(questions, key=lambda q: (q[0].id, q[1]))
    ]


def draw_seed(generation: Generation, sample: Sample, turn: int) -> int:
    """Returns the seed of one answer's draws."""
    text = f"{generation.seed}\n{sample.id}\n{turn}"
    return int.from_bytes(hashlib.sha256(text.encode()).digest()[:7])


def still(shown: Callable[[str], Video | Features | None]) -> Callable[[str], Video]:
    """Returns what shows of each clip its first frame alone, as often as it has frames: nothing of it moves.

    Raises:
        InputError: when it is called, on features: they are not of single frames.
    """

    def frozen(clip: str) -> Video:
        video = shown(clip)
        if not isinstance(video, Video):
            raise InputError("features cannot be made to stand still", fix="give frames")
        return Video(frames=np.repeat(video.frames[:1], len(video.frames), axis=0), frame_seconds=video.frame_seconds)

    return frozen


def shuffled_clips(samples: Sequence[Sample]) -> dict[str, str]:
    """Gives each clip another one in its place, the same way each time.

    The clips stand in a row, case by case, in an order without meaning (by
    hash), and move on by the size of the largest case: each clip is shown once,
    none in its own place, and in the place of another case's wherever no case
    has more than half of the clips.

    Raises:
        InputError: there is only one clip.
    """
    case_of = {sample.clip: sample.case for sample in samples}
    if len(case_of) < 2:
        raise InputError("videos cannot be shuffled among fewer than two clips")

    def by_hash(text: str) -> str:
        return hashlib.sha256(text.encode()).hexdigest()

    row = sorted(case_of, key=lambda clip: (by_hash(case_of[clip]), by_hash(clip)))
    step = max(Counter(case_of.values()).values())
    if step == len(row):
        step = 1
    return {clip: row[(at + step) % len(row)] for at, clip in enumerate(row)}


def chunk_of(samples: Sequence[Sample], *, chunk: int, chunks: int) -> list[Sample]:
    """Returns the ``chunk``-th of ``chunks`` parts of the samples in the order of their ids."""
    ordered = sorted(samples, key=lambda sample: sample.id)
    return ordered[len(ordered) * chunk // chunks : len(ordered) * (chunk + 1) // chunks]
