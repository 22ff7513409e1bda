"""Answers chosen from a closed set: every family's scores against one forward pass a choice, as it learns it."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from suture import closed_set, libraries, registry
from suture.closed_set import Chooser, ClosedSet
from suture.config.generation import Generation
from suture.errors import InputError
from suture.models.base import Features, Reply, Video, VideoModel
from suture.prediction import predict
from suture.records import Sample, Turn

libraries.prepare(threads=1)

import torch  # noqa: E402

# One begins others, some begin alike, one is one word and another many.
CHOICES = (
    "clip",
    "clipper",
    "clip applier",
    "specimen_bag",
    "specimenbag",
    "False",
    "10",
    "1",
    "The phase is lens implantation.",
    "The phase is lens removal.",
)
ASKED = (
    Turn(question="Which surgical phase is shown?", answer="lens implantation", kind="phase"),
    Turn(question="What is the tool at the top left of the gallbladder?", answer="", kind="tool"),
)


# Families that write answers; classifiers choose from their classes.
@pytest.fixture(
    scope="module",
    params=[n for n in registry.names("model family") if "ANSWERS" not in registry.literals("model family", n)],
)
def folder(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> tuple[str, Path]:
    path = tmp_path_factory.mktemp(request.param) / "small"
    registry.family(request.param).build_small(path)
    return request.param, path


@pytest.fixture(scope="module")
def model(folder: tuple[str, Path]) -> VideoModel:
    loaded: VideoModel = registry.family(folder[0]).load(folder[1])
    return loaded


def equal(found: torch.Tensor, expected: torch.Tensor) -> bool:
    """To 1e-5; a sum of 77 is known in single precision to no more than 8e-6."""
    return torch.allclose(found, expected, atol=1e-5, rtol=2e-7)


def video(n: int, seed: int, seconds: float = 0.5) -> Video:
    frames = np.random.default_rng(seed).integers(0, 256, (n, 56, 56, 3), dtype=np.uint8)
    return Video(frames=frames, frame_seconds=seconds)


# Of different lengths, in tokens and in time.
SHOWN = [(ASKED, video(8, 0)), (ASKED[:1], video(5, 1, 0.3)), (ASKED[1:], video(2, 2, 2.0))]


@torch.inference_mode()
def one_pass_a_choice(model: VideoModel, shown: Sequence[tuple[Any, Any]], *, end: bool = True) -> torch.Tensor:
    """The log-probability that the loss of training has for each choice, of the tokens labelled with it."""
    found = []
    for turns, seen in shown:
        start = len(model.encode(turns, seen, for_reply=True).input_ids)
        for choice in CHOICES:
            answered = (*turns[:-1], Turn(question=turns[-1].question, answer=choice, kind=""))
            batch = model.collate([model.encode(answered, seen)])
            labels = batch["labels"].clone()
            labels[:, :start] = -100  # earlier answers of the conversation
            if not end:
                labels[0, (labels[0] != -100).nonzero()[-1]] = -100
            n = int((labels != -100).sum())
            found.append(-n * model.loss(model.model, {**batch, "labels": labels}, None).double().item())
    return torch.tensor(found, dtype=torch.float64).view(len(shown), len(CHOICES))


def chosen(model: VideoModel, shown: Sequence[tuple[Any, Any]], **how: Any) -> list[Reply]:
    chooser = Chooser(model, ClosedSet(choices=CHOICES, **how))
    for turns, _ in shown:
        chooser.longest(turns)
    prompts = [model.encode(turns, seen, for_reply=True) for turns, seen in shown]
    return chooser.answer(model.collate(prompts, pad_left=True))


def table(replies: Sequence[Reply]) -> torch.Tensor:
    return torch.tensor([list(reply.scores.values()) for reply in replies], dtype=torch.float64)


def test_scores_are_those_of_one_pass_a_choice(model: VideoModel) -> None:
    alone, replies = one_pass_a_choice(model, SHOWN), chosen(model, SHOWN)
    assert equal(table(replies), alone)
    assert [reply.text for reply in replies] == [CHOICES[best] for best in alone.argmax(dim=1)]
    assert all(tuple(reply.scores) == CHOICES for reply in replies)
    assert alone.std(dim=1).min() > 0.5  # and choices are not all alike
    assert (alone[0] - alone[2]).abs().max() > 0.1  # nor are videos


def test_without_the_token_that_ends_an_answer(model: VideoModel) -> None:
    alone = one_pass_a_choice(model, SHOWN, end=False)
    assert equal(table(chosen(model, SHOWN, score_end=False)), alone)


def test_a_mean_is_over_the_tokens_that_were_counted(model: VideoModel) -> None:
    counts = torch.tensor([len(model.answer_tokens(ASKED, choice)) for choice in CHOICES])
    assert counts.min() < counts.max()
    for end in (True, False):
        alone = one_pass_a_choice(model, SHOWN, end=end) / (counts - int(not end))
        found = chosen(model, SHOWN, normalisation="mean", score_end=end)
        assert equal(table(found), alone)


def test_other_questions_in_the_batch_change_nothing(model: VideoModel) -> None:
    together = chosen(model, SHOWN)
    alone = [chosen(model, [one])[0] for one in SHOWN]
    assert equal(table(together), table(alone))
    assert [reply.text for reply in together] == [reply.text for reply in alone]


def test_features_give_the_scores_of_frames(model: VideoModel) -> None:
    made = model.features([seen for _, seen in SHOWN])
    fed = [
        (turns, Features(tokens=tokens, shape=seen.frames.shape[:3], frame_seconds=seen.frame_seconds))
        for (turns, seen), tokens in zip(SHOWN, made, strict=True)
    ]
    assert equal(table(chosen(model, fed)), table(chosen(model, SHOWN)))


def test_questions_without_a_video(model: VideoModel) -> None:
    unseen = [(turns, None) for turns, _ in SHOWN]
    assert equal(table(chosen(model, unseen)), one_pass_a_choice(model, unseen))


def test_another_attention_gives_the_same(folder: tuple[str, Path], model: VideoModel) -> None:
    eager = registry.family(folder[0]).load(folder[1], attention="eager")
    assert equal(table(chosen(eager, SHOWN)), table(chosen(model, SHOWN)))


def test_an_attention_that_takes_no_tree_gives_the_same(model: VideoModel, monkeypatch: pytest.MonkeyPatch) -> None:
    expected = table(chosen(model, SHOWN))
    monkeypatch.setattr("suture.choice_tree.TREE_ATTENTIONS", frozenset())
    monkeypatch.setattr("suture.choice_tree.ROWS_AT_ONCE", 12)
    assert equal(table(chosen(model, SHOWN)), expected)


def test_the_vision_tower_runs_once(model: VideoModel) -> None:
    calls: list[int] = []
    tower = next(module for name, module in model.model.named_modules() if name in model.towers["vision"])
    hook = tower.register_forward_hook(lambda *_: calls.append(1))
    try:
        chosen(model, SHOWN[:1])
        assert len(calls) == 1
    finally:
        hook.remove()


def test_scores_leave_answers_as_they_were(model: VideoModel) -> None:
    prompts = [model.encode(turns, seen, for_reply=True) for turns, seen in SHOWN]
    batch, settings = model.collate(prompts, pad_left=True), Generation(max_new_tokens=8)
    before = model.generate(batch, settings, [0, 0, 0])
    chosen(model, SHOWN[1:2])
    assert model.generate(batch, settings, [0, 0, 0]) == before


class Fixed:
    """A model to which a word is a number; scores are given, questions kept."""

    max_length = 12

    def __init__(self, scores: Sequence[float]) -> None:
        self.scores = scores
        self.asked: list[list[tuple[str, str]]] = []

    def answer_tokens(self, turns: Sequence[Turn], answer: str) -> tuple[int, ...]:
        other = 100 if turns[-1].question == "odd?" else 0
        return (*(other + len(word) for word in answer.split()), 0)

    def encode(self, turns: Sequence[Turn], _video: Video, *, for_reply: bool) -> Any:
        self.asked.append([(turn.question, turn.answer) for turn in turns])
        assert for_reply
        return SimpleNamespace(input_ids=[0] * 9)

    def collate(self, examples: Sequence[Any], *, pad_left: bool) -> Sequence[Any]:
        assert pad_left
        return examples

    def score(self, batch: Sequence[Any], answers: Any) -> torch.Tensor:
        assert len(answers.paths) == len(self.scores)
        return torch.tensor([self.scores] * len(batch), dtype=torch.float64)


def ask(model: Fixed, *questions: str, **how: Any) -> Any:
    turns = tuple(Turn(question=question, answer="gold", kind="k") for question in questions)
    closed = ClosedSet(**{"choices": ("a", "bb cc", "ddd"), **how})
    one = Sample(id="s", case="c", clip="v", phase="p", turns=turns)
    settings: dict[str, Any] = {"history": "own", "generation": Generation(), "batch_size": 4, "choices": closed}
    return predict(model, [one], lambda _clip: video(1, 0), **settings)  # type: ignore[arg-type]


def test_the_best_choice_is_the_prediction_and_the_history() -> None:
    model = Fixed([-3.0, -2.0, -2.5])
    first, second = ask(model, "one?", "two?")
    assert model.asked == [[("one?", "")], [("one?", "bb cc"), ("two?", "")]]
    assert (first.prediction, first.answer, first.truncated) == ("bb cc", "gold", False)
    assert first.scores == {"a": -3.0, "bb cc": -2.0, "ddd": -2.5} == second.scores
    assert (first.normalisation, first.score_end) == ("sum", True)
    mean = ask(Fixed([-3.0, -2.0, -2.5]), "one?", normalisation="mean")[0]
    assert mean.scores == {"a": -1.5, "bb cc": round(-2 / 3, 6), "ddd": -1.25}
    assert (mean.normalisation, mean.score_end) == ("mean", True)
    no_end = ask(Fixed([-3.0, -4.0, -2.5]), "one?", normalisation="mean", score_end=False)[0]
    assert (no_end.scores, no_end.score_end) == ({"a": -3.0, "bb cc": -2.0, "ddd": -2.5}, False)


def test_of_equal_scores_the_first_choice_is_taken() -> None:
    # 1e-9 is less than what the size of a batch changes.
    assert ask(Fixed([-3.0, -2.0, -2.0 + 1e-9]), "one?")[0].prediction == "bb cc"


def test_choices_that_are_the_same_to_the_model_are_refused() -> None:
    with pytest.raises(InputError, match="'xx yy' and 'bb cc' have the same tokens"):
        ask(Fixed([0, 0, 0]), "one?", choices=("a", "xx yy", "bb cc"))


def test_a_choice_that_does_not_fit_is_refused() -> None:
    with pytest.raises(InputError, match=r"9 tokens; with 4 .* model's 12"):
        ask(Fixed([0, 0]), "one?", choices=("a", "b c d"))


def test_a_question_after_which_choices_have_other_tokens_is_refused() -> None:
    with pytest.raises(InputError, match="other tokens after this question"):
        ask(Fixed([0, 0, 0]), "one?", "odd?")


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ('["a", "b", "a"]', "'a' occurs twice"),
        ("a\nb\n a \n", "'a' occurs twice"),
        ('["a", ""]', "'' is no label"),
        ("a\n\n", "1 labels; a choice needs two"),
        ('["a", 1]', "1 is no label"),
    ],
)
def test_a_file_that_is_no_closed_set_is_refused(tmp_path: Path, text: str, problem: str) -> None:
    path = tmp_path / "choices"
    path.write_text(text)
    with pytest.raises(InputError, match=problem):
        closed_set.read(path, normalisation="sum", score_end=True)


def test_both_kinds_of_file_are_read_in_their_order(tmp_path: Path) -> None:
    (tmp_path / "a.json").write_text('["1", "10", "0", "specimen_bag", "specimenbag"]', encoding="utf-8-sig")
    (tmp_path / "a.txt").write_bytes(b"1\r\n10\r\n\r\n0 \r\nspecimen_bag\r\nspecimenbag\r\n")
    for name in ("a.json", "a.txt"):
        found = closed_set.read(tmp_path / name, normalisation="mean", score_end=False)
        assert found.choices == ("1", "10", "0", "specimen_bag", "specimenbag")
        assert (found.normalisation, found.score_end) == ("mean", False)
