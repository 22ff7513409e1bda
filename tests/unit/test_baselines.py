"""What needs no look at the video: other files of predictions, metadata, the gold answers."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from support import make_clip
from suture import baselines, scoring
from suture.errors import InputError
from suture.records import Sample, Turn
from suture.tasks import open_vqa
from suture.tasks.base import Row


def row(i: int, answer: str = "a", prediction: str = "b", **more: object) -> Row:
    return Row(id=f"s{i}", turn=0, case=f"c{i % 3}", clip=f"clip{i}", answer=answer, prediction=prediction, **more)  # type: ignore[arg-type]


def test_the_ceiling_is_what_the_measures_give_the_gold_answers() -> None:
    answered = baselines.ceiling([row(0, scores={"a": 0.1, "b": 0.9})])
    assert (answered[0].prediction, answered[0].scores) == ("a", {})


def write(path: Path, *rows: dict) -> Path:
    path.write_text("".join(json.dumps(one) + "\n" for one in rows))
    return path


def test_another_file_answers_the_same_rows_in_any_order(tmp_path: Path) -> None:
    mine = [row(0), row(1)]
    theirs = [
        {"id": "s1", "answer": "a", "prediction": "one", "scores": {"a": 0.25, "b": 0.75}},
        {"id": "s0", "answer": "a", "prediction": "zero"},
        {"id": "s7", "answer": "a", "prediction": "of a sample that is not scored"},
    ]
    said = baselines.from_file(mine, write(tmp_path / "p.jsonl", *theirs))
    assert [(one.id, one.prediction, one.case) for one in said] == [("s0", "zero", "c0"), ("s1", "one", "c1")]
    assert said[1].scores == {"a": 0.25, "b": 0.75}


def test_a_file_of_other_samples_is_refused(tmp_path: Path) -> None:
    mine = [row(0), row(1)]
    file = write(tmp_path / "p.jsonl", {"id": "s0", "answer": "a", "prediction": "x"})
    with pytest.raises(InputError, match="1 of 2 questions are not answered, first: id 's1', turn 0"):
        baselines.from_file(mine, file)
    file = write(tmp_path / "p.jsonl", *({"id": f"s{i}", "answer": "b", "prediction": "x"} for i in range(2)))
    with pytest.raises(InputError, match="another gold answer than in the predictions: id 's0', turn 0"):
        baselines.from_file(mine, file)


def trained(i: int, answer: str, question: str = "which?") -> Sample:
    return Sample(
        id=f"t{i}", case=f"train{i % 4}", clip=f"train-clip{i}", phase="p",
        turns=(Turn(question=question, answer=answer, kind="k"),),
    )  # fmt: skip


def facts(seconds: float, size: float) -> baselines.ClipFacts:
    return baselines.ClipFacts(seconds=seconds, size=size)


def test_metadata_finds_what_the_length_of_a_clip_gives_away_and_what_the_size_does() -> None:
    # Long clips are "x"; to another question, large files are "big". The cases of training say nothing of new ones.
    train = [trained(i, "x" if i % 2 else "y") for i in range(40)]
    train += [trained(40 + i, "big" if i % 4 < 2 else "small", "what size?") for i in range(40)]
    clips = {f"train-clip{i}": facts(5.0 if i % 2 else 3.0, 900.0 if i % 4 < 2 else 100.0) for i in range(80)}
    asked = [row(i, question="which?") for i in range(6)] + [row(6 + i, question="what size?") for i in range(4)]
    clips |= {f"clip{i}": facts(4.8 if i % 2 else 3.1, 850.0 if i % 4 < 2 else 120.0) for i in range(10)}
    said = baselines.metadata(asked, train, clips, seed=0)
    expected = ["x" if i % 2 else "y" for i in range(6)] + ["big" if i % 4 < 2 else "small" for i in range(6, 10)]
    assert [one.prediction for one in said] == expected
    assert baselines.metadata(asked, train, clips, seed=0) == said


def test_metadata_needs_to_know_the_clips() -> None:
    train = [trained(i, "xy"[i % 2]) for i in range(8)]
    clips = {f"train-clip{i}": facts(1.0, 1.0) for i in range(8)}
    with pytest.raises(InputError, match="clip 'clip0' is not among the clips"):
        baselines.metadata([row(0, question="which?")], train, clips, seed=0)
    with pytest.raises(InputError, match="the predictions name no clips"):
        baselines.metadata([Row(id="s", turn=0, answer="x", prediction="x")], train, clips, seed=0)


def test_length_and_size_are_those_of_the_clips_file(tmp_path: Path) -> None:
    clip = make_clip(start_s=2.5, end_s=6.0)
    with pytest.raises(InputError, match="has no file"):
        baselines.read_clips([clip], tmp_path)
    (tmp_path / clip.path).parent.mkdir()
    (tmp_path / clip.path).write_bytes(bytes(1234))
    assert baselines.read_clips([clip], tmp_path) == {clip.id: facts(3.5, 1234.0)}


def entry(**answered: list[str]) -> dict:
    """The entry of four questions of two cases, half of them right, with baselines that gave these answers."""
    rows = [Row(id=str(i), turn=0, case=f"c{i % 2}", answer="ab"[i // 2], prediction="a") for i in range(4)]
    units = scoring.number_units(rows)
    others = {name: baselines.answered(units.rows, said) for name, said in answered.items()}
    return scoring.entry(open_vqa, units, split="test", leaky=False, baselines=others, not_computed={}, resamples=100)


def test_blind_is_the_blind_model_or_the_majority_where_that_is_higher() -> None:
    found = entry(blind=["a", "x", "x", "x"], majority=["b", "b", "b", "b"])["baselines"]
    assert found["majority"]["acc"]["value"] == 0.5
    assert found["blind"]["acc"] == found["majority"]["acc"]
    found = entry(blind=["a", "a", "b", "x"], majority=["b", "b", "b", "b"])["baselines"]
    assert found["blind"]["acc"]["value"] == 0.75


def test_without_a_blind_model_none_is_made_up() -> None:
    assert "blind" not in entry(majority=["b", "b", "b", "b"])["baselines"]
