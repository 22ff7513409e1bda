"""What a model is shown before it answers, seen by a model that writes it down."""

from __future__ import annotations

from collections.abc import Sequence
from types import SimpleNamespace
from typing import Any, Literal

import numpy as np

from suture.config.generation import Generation
from suture.models.base import Reply, Video
from suture.prediction import predict
from suture.records import Sample, Turn

GREEDY = Generation(max_new_tokens=5)


class Notebook:
    """A video model whose n-th answer is "said n"; keeps what it was shown."""

    max_length = 1000

    def __init__(self) -> None:
        self.shown: list[tuple[list[tuple[str, str]], str]] = []
        self.seeds: list[int] = []

    def encode(self, turns: Sequence[Turn], video: Video, *, for_reply: bool) -> Any:
        assert for_reply
        self.shown.append(([(turn.question, turn.answer) for turn in turns], chr(video.frames[0, 0, 0, 0])))
        return SimpleNamespace(input_ids=[0] * len(turns))

    def collate(self, examples: Sequence[Any], *, pad_left: bool) -> Any:
        assert pad_left
        return examples

    def generate(self, batch: Sequence[Any], generation: Generation, seeds: Sequence[int]) -> list[Reply]:
        self.seeds += seeds
        first = len(self.shown) - len(batch)
        return [Reply(text=f"said {first + n}", truncated=n == 1) for n in range(len(batch))]


def video(clip: str) -> Video:
    """One pixel, of the colour that the clip's letter has as a number."""
    return Video(frames=np.full((1, 1, 1, 3), ord(clip), np.uint8))


def samples() -> list[Sample]:
    def sample(name: str, turns: int) -> Sample:
        asked = tuple(Turn(question=f"{name}{n}?", answer=f"gold {name}{n}", kind=f"kind {n}") for n in range(turns))
        return Sample(id=name, case=name, clip=name, phase="p", turns=asked)

    return [sample("b", 1), sample("a", 3)]


def shown(history: Literal["own", "none"]) -> tuple[Notebook, list[Any]]:
    model = Notebook()
    return model, predict(model, samples(), video, history=history, generation=GREEDY, batch_size=2)  # type: ignore[arg-type]


def test_own_history_is_what_the_model_said_and_never_the_gold_answer() -> None:
    model, found = shown("own")
    assert model.shown == [
        ([("b0?", "")], "b"),
        ([("a0?", "")], "a"),
        ([("a0?", "said 1"), ("a1?", "")], "a"),
        ([("a0?", "said 1"), ("a1?", "said 2"), ("a2?", "")], "a"),
    ]
    assert [(p.id, p.turn, p.prediction, p.answer, p.kind, p.truncated) for p in found] == [
        ("a", 0, "said 1", "gold a0", "kind 0", True),
        ("a", 1, "said 2", "gold a1", "kind 1", False),
        ("a", 2, "said 3", "gold a2", "kind 2", False),
        ("b", 0, "said 0", "gold b0", "kind 0", False),
    ]


def test_without_history_each_question_stands_alone() -> None:
    model, _ = shown("none")
    assert [turns for turns, _ in model.shown] == [[("b0?", "")], [("a0?", "")], [("a1?", "")], [("a2?", "")]]


def test_no_samples_give_no_predictions() -> None:
    assert predict(Notebook(), [], video, history="own", generation=GREEDY, batch_size=2) == []  # type: ignore[arg-type]


def test_a_question_has_the_same_draws_wherever_it_stands() -> None:
    def seeds(history: Literal["own", "none"], batch_size: int, seed: int) -> set[int]:
        model, drawn = Notebook(), Generation(max_new_tokens=5, temperature=1.0, seed=seed)
        predict(model, samples(), video, history=history, generation=drawn, batch_size=batch_size)  # type: ignore[arg-type]
        return set(model.seeds)

    assert len(seeds("own", 2, 1)) == 4
    assert seeds("own", 2, 1) == seeds("none", 3, 1)
    assert not seeds("own", 2, 1) & seeds("own", 2, 2)
