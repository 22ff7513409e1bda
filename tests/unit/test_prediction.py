"""What a model is shown before it answers, seen by a model that writes it down."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from types import SimpleNamespace
from typing import Any, Literal

import numpy as np
import pytest

from suture.config.generation import Generation
from suture.frames import FrameCache, write_shard
from suture.models.base import Reply, Video
from suture.prediction import predict
from suture.records import Clip, Sample, Turn

GREEDY = Generation(max_new_tokens=5)


class Notebook:
    """A video model whose n-th answer is "said n"; keeps what it was shown."""

    max_length = 1000

    def __init__(self) -> None:
        self.shown: list[tuple[list[tuple[str, str]], int]] = []
        self.seeds: list[int] = []

    def encode(self, turns: Sequence[Turn], video: Video, *, for_reply: bool) -> Any:
        assert for_reply
        self.shown.append(([(turn.question, turn.answer) for turn in turns], int(video.frames[0, 0, 0, 0])))
        return SimpleNamespace(input_ids=[0] * len(turns))

    def collate(self, examples: Sequence[Any], *, pad_left: bool) -> Any:
        assert pad_left
        return examples

    def generate(self, batch: Sequence[Any], generation: Generation, seeds: Sequence[int]) -> list[Reply]:
        self.seeds += seeds
        first = len(self.shown) - len(batch)
        return [Reply(text=f"said {first + n}", truncated=n == 1) for n in range(len(batch))]


@pytest.fixture
def cache(tmp_path: Path) -> FrameCache:
    """Clips "a" and "b", whose pixels are 97 and 98."""
    common = {
        "phase": "",
        "start_s": 0,
        "end_s": 1,
        "first_frame": 0,
        "n_frames": 2,
        "fps": 2.0,
        "width": 4,
        "height": 4,
    }
    rest = {"method": "copy", "sha256": "", "source": "", "source_sha256": ""}
    clips = [Clip(id=name, case=name, path=name, **common, **rest) for name in "ab"]  # type: ignore[arg-type]
    write_shard(
        clips,
        read=lambda clip: (np.full((2, 4, 4, 3), ord(clip.id), np.uint8), [0, 1]),
        size=(4, 4),
        decoder=("test", "1"),
        manifest=tmp_path / "s.jsonl",
        array=tmp_path / "s.npy",
        max_rejected=0,
    )
    return FrameCache([tmp_path / "s.jsonl"])


def samples() -> list[Sample]:
    def sample(name: str, turns: int) -> Sample:
        asked = tuple(Turn(question=f"{name}{n}?", answer=f"gold {name}{n}", kind=f"kind {n}") for n in range(turns))
        return Sample(id=name, case=name, clip=name, phase="p", turns=asked)

    return [sample("b", 1), sample("a", 3)]


def shown(cache: FrameCache, history: Literal["own", "none"], **more: Any) -> tuple[Notebook, list[Any]]:
    model = Notebook()
    return model, predict(model, samples(), cache, history=history, generation=GREEDY, batch_size=2, **more)  # type: ignore[arg-type]


def test_own_history_is_what_the_model_said_and_never_the_gold_answer(cache: FrameCache) -> None:
    model, found = shown(cache, "own")
    assert model.shown == [
        ([("b0?", "")], 98),
        ([("a0?", "")], 97),
        ([("a0?", "said 1"), ("a1?", "")], 97),
        ([("a0?", "said 1"), ("a1?", "said 2"), ("a2?", "")], 97),
    ]
    assert [(p.id, p.turn, p.prediction, p.answer, p.kind, p.truncated) for p in found] == [
        ("a", 0, "said 1", "gold a0", "kind 0", True),
        ("a", 1, "said 2", "gold a1", "kind 1", False),
        ("a", 2, "said 3", "gold a2", "kind 2", False),
        ("b", 0, "said 0", "gold b0", "kind 0", False),
    ]


def test_without_history_each_question_stands_alone(cache: FrameCache) -> None:
    model, _ = shown(cache, "none")
    assert [turns for turns, _ in model.shown] == [[("b0?", "")], [("a0?", "")], [("a1?", "")], [("a2?", "")]]


def test_shuffled_videos_change_the_frames_and_nothing_else(cache: FrameCache) -> None:
    model, found = shown(cache, "own", clip_of={"a": "b", "b": "a"})
    assert [pixel for _, pixel in model.shown] == [97, 98, 98, 98]
    assert [p.clip for p in found] == ["a", "a", "a", "b"]


def test_no_samples_give_no_predictions(cache: FrameCache) -> None:
    assert predict(Notebook(), [], cache, history="own", generation=GREEDY, batch_size=2) == []  # type: ignore[arg-type]


def test_a_question_has_the_same_draws_wherever_it_stands(cache: FrameCache) -> None:
    def seeds(history: Literal["own", "none"], batch_size: int, seed: int) -> set[int]:
        model, drawn = Notebook(), Generation(max_new_tokens=5, temperature=1.0, seed=seed)
        predict(model, samples(), cache, history=history, generation=drawn, batch_size=batch_size)  # type: ignore[arg-type]
        return set(model.seeds)

    assert len(seeds("own", 2, 1)) == 4
    assert seeds("own", 2, 1) == seeds("none", 3, 1)
    assert not seeds("own", 2, 1) & seeds("own", 2, 2)
