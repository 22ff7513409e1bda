"""Predicting as a user does it: from a trained toy model, which has to look to answer."""

from __future__ import annotations

from pathlib import Path

import pytest

from support import run_script
from suture import model_folder, records
from suture.errors import InputError
from suture.prediction import chunk_of, shuffled_clips
from suture.records import Prediction, Sample, Turn
from toy_clips import cache_arguments, make_toy


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A trained model under ``model``, unseen clips under ``test``."""
    import train

    root = tmp_path_factory.mktemp("run")
    for name, clips, seed in (("train", 48, 1), ("test", 12, 2)):
        make_toy(root / name, clips=clips, seed=seed)
        run_script("cache_frames", *cache_arguments(root / name, root / name))
    run_script("fetch_weights", "--family", "qwen2_5_vl", "--model", "small", "--output", root / "base")
    data = ["--train", root / "train" / "samples.jsonl", "--frames-cache", root / "train" / "shard-0.jsonl"]
    where = ["--model", root / "base", "--output", root / "checkpoint", "--work-dir", root / "work"]
    batch = ["--batch-size", 8, "--gradient-accumulation-steps", 1, "--max-grad-norm", 1, "--precision", "fp32"]
    steps = ["--max-steps", 160, "--learning-rate", 1e-3, "--augment", "--shuffle-turns", "--adam-beta2", 0.98]
    arguments = ["--family", "qwen2_5_vl", *data, *where, *batch, *steps]
    assert train.main(train.parser().parse_args([str(a) for a in arguments])) == 0
    run_script("export_model", "--checkpoint", root / "checkpoint", "--base", root / "base", "--output", root / "model")
    return root


def predict(run: Path, out: Path, *more: object) -> list[Prediction]:
    """Predicts in this process, which saves the 10 s of imports."""
    import predict as command

    data = ["--samples", run / "test" / "samples.jsonl", "--frames-cache", run / "test" / "shard-0.jsonl"]
    arguments = ["--model", run / "model", *data, "--output", out, "--max-new-tokens", 16, *more]
    command.main(command.parser().parse_args([str(a) for a in arguments]))
    found: list[Prediction] = records.read(out, Prediction)
    return found


def share_right(predictions: list[Prediction], kind: str) -> float:
    rows = [p for p in predictions if p.kind == kind]
    return sum(p.prediction == p.answer for p in rows) / len(rows)


def test_it_answers_what_it_sees_and_not_what_it_guesses(run: Path, tmp_path: Path) -> None:
    real = predict(run, tmp_path / "real.jsonl")
    assert [(p.id, p.turn) for p in real] == sorted((p.id, p.turn) for p in real)
    assert len(real) == 24
    assert share_right(real, "color") >= 0.75  # guessing: 0.25
    assert not any(p.truncated for p in real)
    shuffled = predict(run, tmp_path / "shuffled.jsonl", "--video", "shuffled")
    assert share_right(shuffled, "color") <= 0.5
    # It says what the clip shows that it was given.
    swap = shuffled_clips(records.read(run / "test" / "samples.jsonl", Sample))
    said = {p.clip: p.prediction for p in real if p.turn == 0}
    assert all(p.prediction == said[swap[p.clip]] for p in shuffled if p.turn == 0)


def test_gold_answers_change_no_prediction(run: Path, tmp_path: Path) -> None:
    samples: list[Sample] = records.read(run / "test" / "samples.jsonl", Sample)
    lies = tmp_path / "lies.jsonl"
    records.write(
        lies,
        [
            Sample(
                id=s.id,
                case=s.case,
                clip=s.clip,
                phase=s.phase,
                turns=tuple(Turn(question=t.question, answer="The color is red. yes", kind=t.kind) for t in s.turns),
            )
            for s in samples
        ],
    )
    for history in ("own", "none"):
        truth = predict(run, tmp_path / "truth.jsonl", "--history", history)
        lied = predict(run, tmp_path / "lied.jsonl", "--history", history, "--samples", lies)
        assert [p.prediction for p in truth] == [p.prediction for p in lied]
        assert {p.answer for p in lied} == {"The color is red. yes"}


def test_each_question_alone_is_answered_too(run: Path, tmp_path: Path) -> None:
    alone = predict(run, tmp_path / "alone.jsonl", "--history", "none")
    assert share_right(alone, "red") >= 0.75


def test_chunks_together_are_the_whole(run: Path, tmp_path: Path) -> None:
    whole = predict(run, tmp_path / "whole.jsonl")
    chunks = [predict(run, tmp_path / f"{k}.jsonl", "--num-chunks", 5, "--chunk", k) for k in range(5)]
    assert [p for chunk in chunks for p in chunk] == whole


def test_answers_that_did_not_end_are_marked_and_counted(
    run: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    cut = predict(run, tmp_path / "cut.jsonl", "--max-new-tokens", 2)
    marked = sum(p.truncated for p in cut)
    assert marked >= 12  # "The color ..."; yes and no end in time
    assert f"24 questions answered, {marked} answers cut off at 2 tokens" in capsys.readouterr().out


def test_two_processes_say_the_same(run: Path, tmp_path: Path) -> None:
    here = tmp_path / "here.jsonl"
    predict(run, here)
    data = ["--samples", run / "test" / "samples.jsonl", "--frames-cache", run / "test" / "shard-0.jsonl"]
    run_script("predict", "--model", run / "model", *data, "--output", tmp_path / "there.jsonl", "--max-new-tokens", 16)
    assert here.read_bytes() == (tmp_path / "there.jsonl").read_bytes()


def test_the_exported_folder_is_an_ordinary_model(run: Path) -> None:
    from transformers import AutoModelForImageTextToText, AutoProcessor

    names = {p.name for p in (run / "model").iterdir()}
    assert "optimizer.pt" not in names
    assert {"config.json", "model.safetensors", "tokenizer.json", "processor_config.json"} <= names
    _, report = AutoModelForImageTextToText.from_pretrained(run / "model", output_loading_info=True)
    assert not any(report.values())
    AutoProcessor.from_pretrained(run / "model")
    card, base = model_folder.read_card(run / "model"), model_folder.read_card(run / "base")
    assert card["system_prompt"] == base["system_prompt"]
    assert card["step"] == 160
    assert card["weights"] == model_folder.weights_digest(run / "model") != model_folder.weights_digest(run / "base")


def test_a_checkpoint_of_another_base_is_not_exported(run: Path, tmp_path: Path) -> None:
    arguments = ["--checkpoint", run / "checkpoint", "--output", tmp_path / "out"]
    said = run_script("export_model", *arguments, "--base", run / "model", code=2)
    assert "trained from other weights" in said
    assert "not a segment checkpoint" in run_script(
        "export_model", "--checkpoint", run / "base", "--base", run / "base", "--output", tmp_path / "out", code=2
    )
    assert not (tmp_path / "out").exists()


def test_a_question_that_does_not_fit_with_its_answer_is_named(run: Path, tmp_path: Path) -> None:
    with pytest.raises(InputError, match="more than the model's 2048") as caught:
        predict(run, tmp_path / "out.jsonl", "--max-new-tokens", 2030)
    assert str(caught.value.where).startswith("sample case_")
    assert not (tmp_path / "out.jsonl").exists()


def sample(clip: str, case: str) -> Sample:
    return Sample(id=clip, case=case, clip=clip, phase="", turns=(Turn(question="?", answer="", kind=""),))


def test_shuffling_shows_each_clip_once_and_never_its_own_case() -> None:
    samples = [sample(f"{case}{n}", case) for case, count in (("a", 3), ("b", 2), ("c", 2)) for n in range(count)]
    swap = shuffled_clips(samples)
    assert sorted(swap) == sorted(swap.values()) == sorted(s.clip for s in samples)
    assert all(given[0] != clip[0] for clip, given in swap.items())
    assert swap == shuffled_clips(samples[::-1])
    one_case = shuffled_clips([sample(f"a{n}", "a") for n in range(3)])
    assert all(clip != given for clip, given in one_case.items())
    with pytest.raises(InputError, match="fewer than two"):
        shuffled_clips([sample("a", "a")])


@pytest.mark.parametrize("chunks", [1, 2, 3, 7, 11])
def test_chunks_divide_samples_without_overlap(chunks: int) -> None:
    samples = [sample(f"{n:02d}", "a") for n in range(9)]
    parts = [chunk_of(samples[::-1], chunk=k, chunks=chunks) for k in range(chunks)]
    assert [s for part in parts for s in part] == samples
